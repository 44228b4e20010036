"""`dualsys correct`, a round of the data flywheel: the controller acts, the expert steps in, the next training learns.

dualsys correct humanoid/pick --checkpoint outputs/v1 --episodes 200 --out data/pick-corrections
dualsys train --data data/pick data/pick-corrections --init outputs/v1 --out outputs/v2
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import track

from dualsys.app.border import require_timing
from dualsys.app.controller import Controller
from dualsys.app.correction import CorrectionPlan
from dualsys.app.correction_pool import CorrectionRound, failed_seeds, run_round
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts
from dualsys.app.intervals import wilson_interval
from dualsys.app.recording import (
    CORRECTIONS,
    CORRECTIONS_A_SEED,
    Demonstrator,
    RecordingSettings,
    chosen_camera_hz,
    privileged_columns,
    require_camera_hz,
    require_noise_and_tail,
    rows_hz_of,
)
from dualsys.app.workplace import expert_for, require_expert
from dualsys.checkpoint import Checkpoint, installed_versions
from dualsys.data.begun import BegunRecording
from dualsys.data.info import Provenance
from dualsys.data.recording_lock import recording_alone
from dualsys.data.writer import DatasetWriter
from dualsys.delays import Delay
from dualsys.errors import ConfigError, DatasetError
from dualsys.protocols import Environment, Rewindable
from dualsys.seeds import TRAINING_SEEDS
from dualsys.settings import TimingConfig
from dualsys.sim_envs.options import Randomization


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectConfig:
    """Runs a controller on training seeds and records what the expert does from where it went: one correction round."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
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
    """Rows of each label, at the task's rate."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    planner_latency_s: Delay = 0.12
    """Simulated time from its start until its subgoal can be used."""
    actor_latency_s: Delay = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    camera_hz: float | None = None
    """Frames a second of the recordings. None: 10, or the next more that divide the rows' rate."""
    noise_rad: float = 0.01
    """How far joints are pushed off the expert's path."""
    tail_s: float = 0.3
    """Time recorded after success."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray from episode to episode, as in `dualsys demos`."""
    workers: int = 1
    """Processes. The dataset is the same for any number."""
    resume: bool = False
    """Go on with a round that was stopped."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0 or self.label_rows < 1:
            raise ConfigError("--episodes, --workers and --label-rows must be at least 1, --seed at least 0")
        require_noise_and_tail(self.noise_rad, self.tail_s)
        if not 1 <= self.moments <= CORRECTIONS_A_SEED:
            raise ConfigError(f"--moments {self.moments} must be 1 to {CORRECTIONS_A_SEED}")
        if self.seed + self.episodes > TRAINING_SEEDS:
            raise ConfigError(
                f"seeds {self.seed} to {self.seed + self.episodes - 1} reach into those kept for evaluation "
                f"({TRAINING_SEEDS} and above): what is learned from must not be what is measured on"
            )
        require_camera_hz(self.camera_hz)
        require_timing(
            partial(
                TimingConfig,
                planner_hz=self.planner_hz,
                planner_latency_s=self.planner_latency_s,
                actor_latency_s=self.actor_latency_s,
            )
        )

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
    def settings(self) -> dict[str, Any]:
        """What decides the recorded data, beside the controller's weights."""
        free = ("out", "workers", "resume", "task")
        plain = {key: value for key, value in asdict(self).items() if key not in free}
        return plain | {"checkpoint": Path(self.checkpoint).name}


MakeParts = Callable[[CorrectConfig], tuple[Environment, Controller, Demonstrator]]
"""To an environment, a controller and an expert. A module's function: worker processes import it."""


def main(config: CorrectConfig) -> int:
    """Run, record, tell. Returns the exit status: 1 where there was nothing to correct."""
    return correct(config)


def make_parts(config: CorrectConfig) -> tuple[Environment, Controller, Demonstrator]:
    """Environment, controller and expert. Raises `ConfigError` for a task nobody demonstrates."""
    require_expert(config.task)
    evaluation = EvalConfig(
        suite_or_task=config.task,
        checkpoint=config.checkpoint,
        randomization=config.randomization,
        planner_hz=config.planner_hz,
        planner_latency_s=config.planner_latency_s,
        actor_latency_s=config.actor_latency_s,
    )
    environment, controller = make_episode_parts(evaluation, config.task)
    return environment, controller, expert_for(config.task, environment, config.noise_rad)


def correct(config: CorrectConfig, *, make: MakeParts = make_parts) -> int:
    """One round, from the first episode to the dataset, or the rest of one that was stopped.

    Returns:
        0, or 1 where nothing came of it: then nothing is left on disk.

    Raises:
        ConfigError: the task cannot be set back.
        DatasetError: the folder holds something else, a round that was begun with other settings, or one under way.
    """
    environment, controller, expert = make(config)
    embodiment, expert_name, can_go_back = environment.embodiment, expert.name, isinstance(environment, Rewindable)
    columns, rows_hz = privileged_columns(environment), rows_hz_of(environment)
    controller.close()
    environment.close()
    camera_hz = chosen_camera_hz(config.camera_hz, rows_hz, _say)
    config = replace(config, camera_hz=camera_hz)
    recording = RecordingSettings.at(rows_hz, camera_hz=camera_hz, tail_s=config.tail_s)
    if not can_go_back:
        raise ConfigError(
            f"{config.task} cannot be set back to an earlier moment, so nobody can take over there: its environment "
            "needs snapshot() and restore(snapshot, restart_clock=...)"
        )
    writer = DatasetWriter(config.out, embodiment, fps=rows_hz, column_names=columns)
    with recording_alone(writer):
        return _correct(config, make, recording, writer, expert_name)


def _correct(
    config: CorrectConfig, make: MakeParts, recording: RecordingSettings, writer: DatasetWriter, expert_name: str
) -> int:
    controller_digest = Checkpoint.open(config.checkpoint).weights_digest()
    _require_fresh_or_same(config, writer, controller_digest)
    job = CorrectionRound(
        make=partial(make, config),
        plan=config.plan,
        recording=recording,
        root=config.out,
        fps=writer.fps,
        seeds=range(config.seed, config.seed + config.episodes),
    )
    solved = sum(_successes(job, config.workers))
    low, high = wilson_interval(solved, config.episodes)
    _say(
        f"the controller solved {solved} of {config.episodes} ({100 * solved / config.episodes:.1f} %, "
        f"{100 * low:.1f} to {100 * high:.1f} %)"
    )
    numbers = writer.staged_seeds()
    if not numbers:
        _clear(writer)
        left = config.episodes - (0 if config.all_episodes else solved)
        _say(f"no dataset was written: {f'the expert failed in all {left}, too' if left else 'nothing to correct'}")
        return 1
    provenance = Provenance(
        embodiment=writer.embodiment,
        task=config.task,
        expert=expert_name,
        settings=config.settings
        | {
            "kind": CORRECTIONS,
            "controller_failed_seeds": failed_seeds(config.out, range(config.seed, config.seed + config.episodes)),
            "controller_weights": controller_digest,
            "seeds_are": f"{CORRECTIONS_A_SEED} times the seed of the controller's episode, and the number of the "
            "correction",
        },
        first_seed=config.seed,
        next_seed=config.seed + config.episodes,
        attempted=config.episodes,
        versions=installed_versions(),
    )
    info = writer.finish(numbers, provenance)
    _say(f"{config.out}: {info.total_episodes} corrections, {info.total_frames} rows")
    return 0


def _successes(job: CorrectionRound, workers: int) -> Iterator[bool]:
    """Whether the controller solved each episode, with a bar."""
    console = Console(stderr=True)
    yield from track(run_round(job, workers), total=len(job.seeds), description="correct", console=console)


def _clear(writer: DatasetWriter) -> None:
    shutil.rmtree(writer.staging)
    with suppress(OSError):  # it holds something else
        writer.root.rmdir()


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)


def _require_fresh_or_same(config: CorrectConfig, writer: DatasetWriter, controller_digest: str) -> None:
    """A round is one dataset: it is not added to, and resumed only as it was begun."""
    begun = BegunRecording(writer)
    if writer.info is not None:
        raise DatasetError(
            f"{config.out} holds a dataset; a round of corrections is one of its own: give another folder"
        )
    if begun.exists and not config.resume:
        raise DatasetError(
            f"{config.out} holds a round that was stopped; add --resume to go on, or give another folder"
        )
    begun.go_on(config.settings | {"task": config.task, "controller_weights": controller_digest})
