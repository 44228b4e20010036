"""How many demonstrations does a new task take? Success of the fine-tuned controller against their number.

    python -m benchmarks.finetune_curve --episodes 200 --seed 10000

Records humanoid/point, which the shipped controller has not seen, and fine-tunes it on the first 5, 10, 20, 30 and 50
episodes. Beside each stands what one would do without it: the same architecture from scratch on the same episodes with
the same number of steps, at the learning rate of `dualsys train`; and the controller as it is. One episode in ten, and
at least one, is kept for validation out of each number. What lies in --out is not done again: a stopped run goes on.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS, write_report
from dualsys.actor.config import FlowActorConfig
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.finetune import FinetuneConfig, Parts
from dualsys.app.train_config import TrainConfig, plain
from dualsys.checkpoint import MANIFEST, Checkpoint
from dualsys.data.begun import differing_settings
from dualsys.data.frame_cache import FrameStore
from dualsys.data.reader import DemonstrationDataset, FrameTrack
from dualsys.errors import ConfigError
from dualsys.files import write_json

SCRATCH_RATE = 8e-4
"""Peak of the learning rate from scratch: the default of `dualsys train`."""
Start = Literal["fine-tuned", "from scratch"]
STARTS: tuple[Start, ...] = ("fine-tuned", "from scratch")
AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneCurveConfig:
    """Success against the number of demonstrations, fine-tuned and from scratch."""

    task: str = "humanoid/point"
    """The new task."""
    demonstrations: tuple[int, ...] = (5, 10, 20, 30, 50)
    """Numbers of episodes to learn from, each the first ones of the same recording."""
    data: Path | None = None
    """A recording of the task; None: recorded to OUT/data."""
    checkpoint: str = "humanoid-table"
    """Controller to start from: shipped name or folder."""
    parts: Parts = "all"
    """What is fine-tuned (`dualsys finetune --parts`)."""
    steps: int = 600
    """Optimizer steps of each training."""
    batch_size: int = 32
    """Frames a step."""
    training_seed: int = 0
    """Of weights, batches and noise."""
    episodes: int = 200
    """Episodes each controller is evaluated on, the same for all, at planner 5 Hz / 120 ms and actor 30 ms."""
    seed: int = 8000
    """Seed of the first of them; 10000 and above for claims."""
    workers: int = 2
    """Processes that record and evaluate. Training takes one."""
    out: Path = Path("outputs/finetune-curve")
    """Folder of the recording, the controllers and their evaluations."""
    json: Path | None = None
    """File for the figures; default: results/finetune_curve.json. A picture of the same name lies beside it."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that cannot be trained on."""
        if not self.demonstrations or min(self.demonstrations) < 2:
            raise ConfigError("--demonstrations must be 2 or more each: one is kept for validation")


def main(config: FinetuneCurveConfig) -> None:
    """Record, train, evaluate, print, write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers with several threads each are in each other's way
    require_same_base(config)
    data = recording(config)
    rows = [{"start": AS_IT_IS, "demonstrations": 0, **success_of(config, AS_IT_IS, config.checkpoint)}]
    for count in sorted(config.demonstrations):
        for start in STARTS:
            name = f"{start.replace(' ', '-')}-{count:02d}"
            train(training_of(config, start, count, config.out / name, data.paths), first_episodes(data, count))
            figures = success_of(config, name, str(config.out / name))
            rows.append({"start": start, "demonstrations": count, **figures})
            print(json.dumps(rows[-1]), flush=True)
    Console().print(_table(config, rows))
    settings = plain(asdict(config)) | {"json": None}
    target = config.json or RESULTS / "finetune_curve.json"
    print(write_report("finetune_curve", {"config": settings, "rows": rows}, target))
    draw(config, rows, target.with_suffix(".png"))


def require_same_base(config: FinetuneCurveConfig) -> None:
    """Note which controller is started from. Raises `ConfigError` where --out began with another of that name."""
    file = config.out / "started_from.json"
    base = {"checkpoint": config.checkpoint, "weights": Checkpoint.open(config.checkpoint).weights_digest()}
    if file.is_file() and (found := json.loads(file.read_text())) != base:
        raise ConfigError(f"{config.out} holds trainings that started from {found}, not {base}; give another --out")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(base) + "\n")


def recording(config: FinetuneCurveConfig) -> DemonstrationDataset:
    """The demonstrations, recorded through the controller's cameras unless there are some.

    Raises `ConfigError` where there are too few.
    """
    most = max(config.demonstrations)
    if config.data is None:
        cameras = Checkpoint.open(config.checkpoint).manifest.embodiment.cameras
        demos = DemosConfig(
            task=config.task,
            episodes=most,
            out=config.out / "data",
            cameras=tuple(camera.name for camera in cameras),
            image_size=cameras[0].height,
            workers=config.workers,
            resume=True,
        )
        record_demonstrations(demos)
    data = DemonstrationDataset.open(config.data or config.out / "data")
    if data.num_episodes < most:
        raise ConfigError(f"{data.paths[0]} has {data.num_episodes} episodes, --demonstrations asks for {most}")
    return data


def first_episodes(data: DemonstrationDataset, count: int) -> DemonstrationDataset:
    """The same dataset as if recording had stopped after `count` episodes."""
    rows = int(data.episode_lengths[:count].sum())
    cameras = {}
    for name, track in data.cameras.items():
        shown = track.frame_of_row[:rows]
        cameras[name] = FrameTrack(
            frames=FrameStore([track.frames[: int(shown.max()) + 1]]),
            frame_of_row=shown,
            stamp_of_row_s=track.stamp_of_row_s[:rows],
        )
    return replace(
        data,
        states=data.states[:rows],
        actions=data.actions[:rows],
        episode_starts=data.episode_starts[:count],
        episode_lengths=data.episode_lengths[:count],
        folder_of_episode=data.folder_of_episode[:count],
        instructions=data.instructions[:count],
        seeds=data.seeds[:count],
        success=data.success[:count],
        cameras=cameras,
        extras={name: column[:rows] for name, column in data.extras.items()},
    )


def training_of(
    config: FinetuneCurveConfig, start: Start, count: int, out: Path, paths: tuple[Path, ...]
) -> TrainConfig:
    """Fine-tuning, or the same number of steps from scratch at the size of the controller that is fine-tuned."""
    tuning = FinetuneConfig(
        data=paths,
        out=out,
        checkpoint=config.checkpoint,
        parts=config.parts,
        name=f"{config.task.rpartition('/')[2]}-{start.replace(' ', '-')}-{count}",
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.training_seed,
    ).training()
    if start == "fine-tuned":
        return tuning
    base = Checkpoint.open(config.checkpoint).manifest
    pictures = (base.planner.config.get("architecture") or {}).get("vision_config", {})
    return replace(
        tuning,
        init="",
        train="both",
        lora_rank=0,
        learning_rate=SCRATCH_RATE,
        camera=base.planner.config["camera"],
        image_size=pictures.get("image_size", tuning.image_size),
        exit_layer=base.planner.config.get("exit_layer"),
        subgoal_tokens=base.subgoal.num_tokens,
        subgoal_dim=base.subgoal.dim,
        actor=FlowActorConfig.model_validate(base.actor.config),
    )


def train(config: TrainConfig, data: DemonstrationDataset) -> None:
    """Train on these episodes, go on, or leave it where it is done. Raises `ConfigError` for another training there."""
    from dualsys.app.train import learn
    from dualsys.app.training.display import TrainingDisplay
    from dualsys.app.training.progress import TrainingFolder
    from dualsys.app.training.share import WHOLE

    folder = TrainingFolder(config.out)
    resume = folder.state_file.exists()
    if (config.out / MANIFEST).is_file():
        done = Checkpoint.open(config.out).manifest.training
        was = {key: value for key, value in done["config"].items() if key in config.decisive}
        if differing := differing_settings(was, config.decisive):
            raise ConfigError(f"{config.out} was trained with {differing}; give another --out")
        if done["steps"] == config.steps:
            return
    folder.require_startable(resume=resume)
    if not resume:
        folder.clear()
    with TrainingDisplay(steps=config.steps) as display:
        display.say(f"{config.name}: {data.num_episodes} episodes, {len(data)} rows")
        learn(config, data, share=WHOLE, display=display, resume=resume)


def success_of(config: FinetuneCurveConfig, name: str, checkpoint: str) -> dict[str, Any]:
    """Evaluation of a controller, read back where the same one was evaluated on the same episodes."""
    evaluation = EvalConfig(
        suite_or_task=config.task,
        checkpoint=checkpoint,
        episodes=config.episodes,
        seed=config.seed,
        workers=config.workers,
    )
    controller = Checkpoint.open(checkpoint)
    manifest, weights = controller.manifest, controller.weights_digest()
    asked = {"task": config.task, "episodes": config.episodes, "seed": config.seed, "training": manifest.training}
    asked = json.loads(json.dumps(asked | {"weights": weights}))
    file = config.out / "evaluations" / f"{name.replace(' ', '-')}.json"
    if file.is_file() and (found := json.loads(file.read_text()))["of"] == asked:
        return dict(found["figures"])
    (task,) = evaluate(evaluation)["tasks"]
    figures = {key: task[key] for key in ("episodes", "successes", "success", "ci95")}
    figures["controller_weights"] = weights
    figures["validation"] = manifest.training.get("last") if name != AS_IT_IS else None
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"of": asked, "figures": figures})
    return figures


def _rows_of(rows: list[dict[str, Any]], start: str) -> Iterator[dict[str, Any]]:
    return (row for row in rows if row["start"] == start)


def _table(config: FinetuneCurveConfig, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{config.task}, {config.steps} steps each, {config.episodes} episodes from seed {config.seed}")
    for name in ("demonstrations", *STARTS):
        table.add_column(name, justify="right")
    (as_it_is,) = _rows_of(rows, AS_IT_IS)
    table.add_row(f"none: {Path(config.checkpoint).name} {AS_IT_IS}", _cell(as_it_is), "")
    for count in sorted(config.demonstrations):
        cells = [_cell(row) for start in STARTS for row in _rows_of(rows, start) if row["demonstrations"] == count]
        table.add_row(str(count), *cells)
    return table


def _cell(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{100 * row['success']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def draw(config: FinetuneCurveConfig, rows: list[dict[str, Any]], path: Path) -> None:
    """Success with its interval over the number of demonstrations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    (as_it_is,) = _rows_of(rows, AS_IT_IS)
    axes.axhline(
        as_it_is["success"], color="#999999", linestyle=":", label=f"{Path(config.checkpoint).name} {AS_IT_IS}"
    )
    for start, colour in zip(STARTS, ("#4477aa", "#cc6677"), strict=True):
        points = list(_rows_of(rows, start))
        numbers = [row["demonstrations"] for row in points]
        axes.plot(numbers, [row["success"] for row in points], marker="o", color=colour, label=start)
        low, high = ([row["ci95"][end] for row in points] for end in (0, 1))
        axes.fill_between(numbers, low, high, color=colour, alpha=0.15)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("demonstrations")
    axes.set_ylabel(f"success of {config.task}, 95 % interval")
    axes.legend(loc="best")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(FinetuneCurveConfig, description=__doc__))
