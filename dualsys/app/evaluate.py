"""`dualsys eval`: success of a suite or a task on the virtual clock, with the latencies as arguments."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dualsys import sim_envs
from dualsys.app.border import require_parts, require_timing
from dualsys.app.controller import Controller
from dualsys.app.eyes import eyes_for
from dualsys.app.intervals import wilson_interval
from dualsys.app.outputs import require_outputs
from dualsys.app.refused_chunks import none_accepted, refused_chunks
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.versions import result_versions
from dualsys.app.worker_pool import worker_pool
from dualsys.bridge.parts import PartConfig
from dualsys.checkpoint import Checkpoint
from dualsys.clearance import clearance_of
from dualsys.counters import CHUNK_COUNTS, RECOVERY_COUNTS
from dualsys.errors import CheckpointError, ConfigError, unknown_name
from dualsys.files import write_json
from dualsys.protocols import Rendered
from dualsys.settings import ActorBackend, CoreConfig, Precision, SafetyConfig, TimingConfig
from dualsys.sim_envs.options import Randomization
from dualsys.stored_kinds import require_kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """Success of a suite or a task on the virtual clock, with the latencies as arguments."""

    suite_or_task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE_OR_TASK")]
    """A task (`humanoid/touch`) or a suite (`humanoid`: all its tasks)."""
    episodes: int = 50
    """Episodes of each task."""
    seed: int = 8000
    """Seed of the first episode, the others follow. 8000 to 9999 are for development, from 10000 on for claims."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner: str = ""
    """Registered planner to use instead of the checkpoint's, such as `null`."""
    actor: str = ""
    """Registered actor to use instead of the checkpoint's."""
    actor_backend: ActorBackend = "eager"
    """What samples chunks: PyTorch (`eager`; `packed`: weights in the processor's order), ONNX Runtime on one core
    (`onnx`, `onnx-int8`), `torch.compile`."""
    actor_precision: Precision = "auto"
    """`original`: bfloat16 where the model's authors have it (`eager` and `compiled`); `auto`: that for `compiled` on a
    GPU, else float32."""
    planner_precision: Precision = "auto"
    """The same for a planner of the pi family; `auto`: float32."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    planner_latency_s: float = 0.12
    """Simulated time from its start until its subgoal can be used."""
    actor_latency_s: float = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    control_hz: float | None = None
    """Rate of control ticks; None: the task's own (50 Hz in the humanoid suite)."""
    core: CoreConfig = field(default_factory=CoreConfig)
    """How often chunks are asked for, how they are played, and what is done about old inputs."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """The gate's share of the joints' limits."""
    phrasing: Literal["train", "held-out"] = "train"
    """Split of the grammar that instructions are drawn from."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray from episode to episode, as in `dualsys demos`."""
    workers: int = 1
    """Processes. The result is the same for any number."""
    json: Path | None = None
    """File for the result; a picture of the same name ending in .png is drawn beside it."""
    video_dir: Path | None = None
    """Folder for videos of some successes and the first failures."""
    videos: int = 2
    """Successes, and failures, to film."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0 or self.videos < 0:
            raise ConfigError("--episodes and --workers must be at least 1, --seed and --videos at least 0")
        require_timing(partial(self.timing, 1.0 if self.control_hz is None else self.control_hz))
        require_parts(planner=self.planner, actor=self.actor, core=self.core)
        self._check_files()

    def timing(self, control_hz: float) -> TimingConfig:
        """Rates and latencies. Raises `pydantic.ValidationError` for negative ones."""
        return TimingConfig(
            planner_hz=self.planner_hz,
            planner_latency_s=self.planner_latency_s,
            actor_latency_s=self.actor_latency_s,
            control_hz=control_hz,
        )

    def _check_files(self) -> None:
        if self.json is not None and (self.json.is_dir() or self.json.suffix == ".png"):
            raise ConfigError(
                f"--json {self.json} must be a file, and not a .png: a picture of the results is written beside it"
            )


def main(config: EvalConfig) -> int:
    """Evaluate, print, write. Returns the exit status."""
    tasks_of(config.suite_or_task)  # refused before the work, not after it, and before a file is made
    require_kinds(Checkpoint.open(config.checkpoint), planner=config.planner, actor=config.actor)
    require_outputs({"--json": config.json}, folders={"--video-dir": config.video_dir})
    report = evaluate(config)
    show(report)
    if config.video_dir is not None:
        film(config, report)
    if config.json is not None:  # last, and whole or not at all: where it is, all is done
        draw(report, config.json.with_suffix(".png"))
        write_json(config.json, report)
    return 0


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Run all episodes; returns the report as it goes into the JSON file.

    Raises:
        ConfigError: an unknown suite, task, planner, actor or policy.
        CheckpointError: the checkpoint is missing, damaged, for another robot, or another one after the episodes.
    """
    tasks = tasks_of(config.suite_or_task)
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    reports = [_task_report(task, list(_episodes(config, task))) for task in tasks]
    if (now := Checkpoint.open(config.checkpoint).weights_digest()) != weights:
        raise CheckpointError(
            f"{config.checkpoint} was {weights} before the episodes and is {now} after them, so nobody knows which of "
            "the two was evaluated: a training writes there. Evaluate a copy of the folder"
        )
    return {"tasks": reports, "config": plain, "controller_weights": weights, "versions": result_versions()}


def tasks_of(suite_or_task: str) -> list[str]:
    """Tasks of a suite, or the one task. Raises `ConfigError` for an unknown name."""
    if "/" in suite_or_task:
        sim_envs.suite_of(suite_or_task)
        return [suite_or_task]
    suites = sim_envs.suites()
    if suite_or_task not in suites:
        raise ConfigError(unknown_name("suite", suite_or_task, suites))
    return [task for task in sim_envs.task_names() if task.startswith(f"{suite_or_task}/")]


def make_episode_parts(config: EvalConfig, task: str) -> tuple[Rendered, Controller]:
    """Environment and controller of an evaluation."""
    environment: Any = sim_envs.make(
        task,
        seed=config.seed,
        control_hz=config.control_hz,
        images="on-demand",
        phrasing=config.phrasing,
        randomization=config.randomization,
        **eyes_for(task, *Checkpoint.open(config.checkpoint).robots),
    )
    controller = Controller.from_checkpoint(
        config.checkpoint,
        embodiment=environment.embodiment,
        planner=PartConfig(name=config.planner, precision=config.planner_precision),
        actor=PartConfig(name=config.actor, backend=config.actor_backend, precision=config.actor_precision),
        timing=config.timing(1.0 / environment.control_dt_s),
        core=config.core,
        safety=config.safety,
        clearance=clearance_of(environment, config.safety),
    )
    return environment, controller


def _episodes(config: EvalConfig, task: str) -> Iterator[EpisodeResult]:
    seeds = range(config.seed, config.seed + config.episodes)
    results = _run_seeds(config, task, seeds) if config.workers == 1 else _run_in_workers(config, task, seeds)
    yield from track(results, total=len(seeds), description=task)


def _run_in_workers(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    advice = "Evaluate again, with fewer --workers if memory is short"
    with worker_pool(config.workers, partial(_runner, config, task), doing="evaluating", advice=advice) as submit:
        for future in [submit(seed) for seed in seeds]:
            yield future.result()


def _runner(config: EvalConfig, task: str) -> Callable[[int], EpisodeResult]:
    return partial(run_episode, *make_episode_parts(config, task))


def _run_seeds(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    environment, controller = make_episode_parts(config, task)
    try:
        for seed in seeds:
            yield run_episode(environment, controller, seed)
    finally:
        controller.close()
        environment.close()


def _task_report(task: str, episodes: list[EpisodeResult]) -> dict[str, Any]:
    successes = sum(episode.success for episode in episodes)
    low, high = wilson_interval(successes, len(episodes))
    return {
        "task": task,
        "episodes": len(episodes),
        "successes": successes,
        "success": successes / len(episodes),
        "ci95": [low, high],
        "mean_duration_s": sum(episode.duration_s for episode in episodes) / len(episodes),
        "mean_reward": sum(episode.reward for episode in episodes) / len(episodes),
        "recoveries": _summed([episode.recoveries for episode in episodes], RECOVERY_COUNTS),
        "chunks": _summed([episode.chunks for episode in episodes], CHUNK_COUNTS),
        "per_episode": [asdict(episode) for episode in episodes],
    }


def _summed(counts: list[dict[str, int]], names: Iterable[str]) -> dict[str, int]:
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def show(report: dict[str, Any]) -> None:
    """A table, and what there is to warn of."""
    console = Console()
    console.print(result_table(report))
    for task in report["tasks"]:
        if warning := none_accepted(task["chunks"]):
            console.print(f"{task['task']}: {warning}", markup=False, highlight=False, soft_wrap=True)


def result_table(report: dict[str, Any]) -> Table:
    """A line for each task."""
    config = report["config"]
    table = Table(
        title=f"{config['checkpoint']}: planner {config['planner_hz']:g} Hz {1e3 * config['planner_latency_s']:g} ms, "
        f"actor {config['core']['actor_hz']:g} Hz {1e3 * config['actor_latency_s']:g} ms, "
        f"phrasing {config['phrasing']}, randomization {config['randomization']}"
    )
    recovers = config["core"]["recovery"]["enabled"]
    refused = [refused_chunks(task["chunks"]) for task in report["tasks"]]
    more = (["recoveries"] if recovers else []) + (["chunks refused"] if any(refused) else [])
    for name in ("task", "success", "95 % interval", "episodes", "mean time", *more):
        table.add_column(name, justify="left" if name == "task" else "right")
    for task, reasons in zip(report["tasks"], refused, strict=True):
        low, high = task["ci95"]
        table.add_row(
            task["task"],
            f"{100 * task['success']:.1f} %",
            f"{100 * low:.1f} to {100 * high:.1f} %",
            f"{task['successes']}/{task['episodes']}",
            f"{task['mean_duration_s']:.2f} s",
            *([str(task["recoveries"]["recoveries"])] if recovers else []),
            *([", ".join(f"{name} {count}" for name, count in reasons.items()) or "0"] if any(refused) else []),
        )
    return table


def draw(report: dict[str, Any], path: Path) -> None:
    """Success with its interval, and how long episodes took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    rates, times = figure.subplots(1, 2)
    for row, task in enumerate(report["tasks"]):
        low, high = task["ci95"]
        rates.barh(row, task["success"], color="#4477aa")
        rates.plot([low, high], [row, row], color="black")
        won = [episode["duration_s"] for episode in task["per_episode"] if episode["success"]]
        lost = [episode["duration_s"] for episode in task["per_episode"] if not episode["success"]]
        times.hist([won, lost], bins=20, stacked=True, color=["#4477aa", "#cc6677"], label=["success", "failure"])
    rates.set_yticks(range(len(report["tasks"])), [task["task"] for task in report["tasks"]])
    rates.set_xlim(0, 1)
    rates.set_xlabel("success, 95 % Wilson interval")
    times.set_xlabel("episode time (s)")
    times.legend(["success", "failure"])
    figure.savefig(path, dpi=110)


def film(config: EvalConfig, report: dict[str, Any]) -> list[Path]:
    """Videos of some successes and the first failures: the episodes are run again, which gives the same bits."""
    from dualsys.app.film import film_episode

    assert config.video_dir is not None
    written = []
    for task in report["tasks"]:
        environment, controller = make_episode_parts(config, task["task"])
        for success in (True, False):
            chosen = [episode for episode in task["per_episode"] if episode["success"] is success][: config.videos]
            for episode in chosen:
                name = f"{task['task'].replace('/', '-')}-{episode['seed']}-{'success' if success else 'failure'}.mp4"
                film_episode(environment, controller, episode["seed"], config.video_dir / name)
                written.append(config.video_dir / name)
        controller.close()
        environment.close()
    return written
