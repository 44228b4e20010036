"""`dualsys correct`, a round of the data flywheel: the controller acts, the expert steps in, the next training learns.

dualsys correct humanoid/pick --checkpoint outputs/v1 --episodes 200 --out data/pick-corrections
dualsys train --data data/pick data/pick-corrections --init outputs/v1 --out outputs/v2
"""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import track

from dualsys.app.correction import CorrectionPlan, Rewindable, correct_episode
from dualsys.app.demos import TRAINING_SEEDS, column_names
from dualsys.app.evaluate import EvalConfig, make_episode_parts
from dualsys.app.intervals import wilson_interval
from dualsys.app.recording import Demonstrator, RecordingSettings
from dualsys.app.rollout import EpisodeResult
from dualsys.app.workplace import BLOCK_NAMES, expert_for
from dualsys.checkpoint import Checkpoint, installed_versions
from dualsys.data.files import read_json, write_json
from dualsys.data.info import Provenance
from dualsys.data.writer import DatasetWriter
from dualsys.errors import ConfigError, DatasetError

ROWS_HZ = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectConfig:
    """Runs a controller on training seeds and records what the expert does from where it went: one correction round."""

    task: Annotated[str, tyro.conf.Positional]
    """What to do, such as humanoid/pick."""
    out: Path
    """Folder of the dataset of corrections."""
    checkpoint: str = "humanoid-table"
    """Controller to correct: shipped name or folder."""
    episodes: int = 100
    """Episodes the controller runs."""
    seed: int = 0
    """Seed of the first one; 0 to 7999 are for training."""
    mode: Literal["takeover", "label"] = "takeover"
    """`takeover`: the expert goes on from before a failure until success. `label`: it shows from moments all along what
    should have been done, for as long as a chunk."""
    moments: int = 2
    """Times an episode that the expert steps in, at the most 100."""
    all_episodes: bool = False
    """Step into episodes, too, that the controller solves."""
    label_rows: int = 40
    """Rows of a label at 50 Hz."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    planner_latency_s: float = 0.12
    """Simulated time from its start until its subgoal can be used."""
    actor_latency_s: float = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    camera_hz: float = 10.0
    """Frames a second of the recordings."""
    noise_rad: float = 0.01
    """How far joints are pushed off the expert's path."""
    tail_s: float = 0.3
    """Time recorded after success."""
    workers: int = 1
    """Processes. The dataset is the same for any number."""
    resume: bool = False
    """Go on with a round that was stopped."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0 or self.label_rows < 1:
            raise ConfigError("--episodes, --workers and --label-rows must be at least 1, --seed at least 0")
        if not 1 <= self.moments <= 100:
            raise ConfigError(f"--moments {self.moments} must be 1 to 100")
        if self.seed + self.episodes > TRAINING_SEEDS:
            raise ConfigError(
                f"seeds {self.seed} to {self.seed + self.episodes - 1} reach into those kept for evaluation "
                f"({TRAINING_SEEDS} and above): what is learned from must not be what is measured on"
            )
        if self.camera_hz <= 0 or ROWS_HZ / self.camera_hz != round(ROWS_HZ / self.camera_hz):
            raise ConfigError(f"--camera-hz {self.camera_hz} does not divide the rows' {ROWS_HZ} Hz; use 50 / n")

    @property
    def plan(self) -> CorrectionPlan:
        """When the expert steps in."""
        return CorrectionPlan(
            mode=self.mode,
            moments=self.moments,
            label_rows=self.label_rows,
            failures_only=not self.all_episodes,
        )

    @property
    def recording(self) -> RecordingSettings:
        """How it is recorded."""
        return RecordingSettings(
            rows_per_frame=round(ROWS_HZ / self.camera_hz),
            tail_rows=round(self.tail_s * ROWS_HZ),
            block_names=BLOCK_NAMES,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the recorded data."""
        free = ("out", "workers", "resume", "task")
        plain = {key: value for key, value in asdict(self).items() if key not in free}
        return plain | {"checkpoint": Path(self.checkpoint).name, "block_names": list(BLOCK_NAMES)}


def main(config: CorrectConfig) -> int:
    """Run, record, tell. Returns the exit status: 1 where there was nothing to correct."""
    environment, _, expert = make_parts(config)
    embodiment, expert_name = environment.embodiment, expert.name
    environment.close()
    writer = DatasetWriter(config.out, embodiment, fps=ROWS_HZ, column_names=column_names())
    _require_fresh_or_same(config, writer)
    results = [_told(result) for result in track(_rounds(config, writer), total=config.episodes, description="correct")]
    solved = sum(result["success"] for result in results)
    low, high = wilson_interval(solved, len(results))
    console = Console(stderr=True)
    console.print(
        f"the controller solved {solved} of {len(results)} ({100 * solved / len(results):.1f} %, "
        f"{100 * low:.1f} to {100 * high:.1f} %)",
        highlight=False,
    )
    numbers = writer.staged_seeds()
    if not numbers:
        console.print("nothing to correct: no dataset was written")
        return 1
    provenance = Provenance(
        embodiment=embodiment,
        task=config.task,
        expert=expert_name,
        settings=config.settings | {"kind": "corrections", "controller_solved": solved},
        first_seed=config.seed,
        next_seed=config.seed + config.episodes,
        attempted=len(results),
        versions=installed_versions(),
    )
    info = writer.finish(numbers, provenance)
    console.print(f"{config.out}: {info.total_episodes} corrections, {info.total_frames} rows", highlight=False)
    return 0


def make_parts(config: CorrectConfig) -> tuple[Rewindable, Any, Demonstrator]:
    """Environment, controller and expert. Raises `ConfigError` for a task without either."""
    evaluation = EvalConfig(
        suite_or_task=config.task,
        checkpoint=config.checkpoint,
        control_hz=ROWS_HZ,
        planner_hz=config.planner_hz,
        planner_latency_s=config.planner_latency_s,
        actor_latency_s=config.actor_latency_s,
    )
    environment, controller = make_episode_parts(evaluation, config.task)
    if not isinstance(environment, Rewindable):
        raise ConfigError(f"{config.task} cannot be set back to an earlier moment, so nobody can take over there")
    return environment, controller, expert_for(config.task, environment, config.noise_rad)


def _rounds(config: CorrectConfig, writer: DatasetWriter) -> Iterator[EpisodeResult]:
    """Each episode's result, its corrections staged; those of an earlier run are read back."""
    seeds = range(config.seed, config.seed + config.episodes)
    todo = [seed for seed in seeds if not _result_file(writer, seed).is_file()]
    yield from (EpisodeResult(**read_json(_result_file(writer, seed))) for seed in seeds if seed not in set(todo))
    if config.workers == 1:
        yield from map(partial(_correct_in_worker, config), todo)
        return
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_correct_in_worker, config), todo)


@cache  # made by a worker's first episode, for all of its episodes
def _parts_of_worker(config: CorrectConfig) -> tuple[Rewindable, Any, Demonstrator, DatasetWriter]:
    environment, controller, expert = make_parts(config)
    return environment, controller, expert, DatasetWriter(config.out, environment.embodiment, fps=ROWS_HZ)


def _correct_in_worker(config: CorrectConfig, seed: int) -> EpisodeResult:
    environment, controller, expert, writer = _parts_of_worker(config)
    result, episodes = correct_episode(environment, controller, expert, seed, config.plan, config.recording)
    for episode in episodes:
        writer.stage(episode)
    write_json(_result_file(writer, seed), asdict(result))
    return result


def _result_file(writer: DatasetWriter, seed: int) -> Path:
    return writer.staging / f"{seed:08d}.result"


def _told(result: EpisodeResult) -> dict[str, Any]:
    return {"seed": result.seed, "success": result.success}


def _require_fresh_or_same(config: CorrectConfig, writer: DatasetWriter) -> None:
    """A round is one dataset: it is not added to, and resumed only as it was begun."""
    path = writer.staging / "settings.json"
    if writer.info is not None or (path.is_file() and not config.resume):
        raise DatasetError(f"{config.out} holds a recording; give another folder, or --resume a round that was stopped")
    asked = config.settings | {
        "task": config.task,
        "weights": Checkpoint.open(config.checkpoint).manifest.subgoal.schema_id,
    }
    if path.is_file() and (found := read_json(path)) != json.loads(json.dumps(asked)):
        differing = sorted(key for key in asked if found.get(key) != asked[key])
        raise DatasetError(f"{config.out} was begun with another {', '.join(differing)}; resume with the same")
    write_json(path, asked)
