"""`dualsys demos`: a scripted expert's episodes as a LeRobot v3.0 dataset, of one task or of all tasks of a suite."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from dualsys.app.demonstrated import Demonstrated
from dualsys.app.evaluation.tasks import tasks_of
from dualsys.app.recording import (
    RecordingSettings,
    chosen_camera_hz,
    require_camera_hz,
    require_image_sides,
    require_noise_and_tail,
)
from dualsys.app.recording_pool import SEEDS_A_TASK, Job, Ledger, MakeWorkplace, RunAttempts, WorkplaceConfig, recorders
from dualsys.app.recording_progress import RecordingProgress
from dualsys.app.workplace import make_workplace, shown_tasks
from dualsys.checkpoint import installed_versions
from dualsys.data.begun import BegunRecording, require_as_begun
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.data.recording_lock import recording_alone
from dualsys.data.writer import DatasetWriter
from dualsys.errors import ConfigError, DatasetError
from dualsys.seeds import TRAINING_SEEDS
from dualsys.sim_envs.options import ImageSize, ImageTurn, Randomization, image_shape
from dualsys.sim_envs.perturbations import described, perturbations_of

LEAST_SHARE = 0.02
"""Of attempts that succeed: below it an expert is broken, and more attempts are a waste."""
LOOKED_AT_AFTER = 50
"""Attempts of a command, after which their share is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemosConfig:
    """Records an expert's successful episodes as a LeRobot v3.0 dataset, from consecutive seeds."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """What to demonstrate, such as humanoid/touch, or a suite, such as metaworld: all its tasks, or those that a
    pattern fits, such as 'metaworld/r*'; `dualsys list` shows them."""
    episodes: int
    """Successful episodes the dataset is to have, of each task."""
    out: Path
    """Folder of the dataset."""
    seed: int = 0
    """Seed of the first episode; 0 to 7999 are for training, the rest for evaluations."""
    workers: int = 1
    """Processes that record at once. The dataset is the same for any number."""
    resume: bool = False
    """Go on with a recording that was stopped, or make a finished one longer."""
    camera_hz: float | None = None
    """Frames a second; rows come at the task's own rate (50 Hz of the humanoid suite) and show the newest frame. None:
    10, or the next more that divide the rows' rate (12.5 of 25 Hz)."""
    noise_rad: float = 0.01
    """How far joints are pushed off the expert's path, so that the data shows the way back; 0: not at all. Of actions
    without a unit: that share of them."""
    tail_s: float = 0.3
    """Time recorded after success, in which the expert stays where it is."""
    image_size: ImageSize = 96
    """Pixels of the cameras' images: of both sides, or height and width; even."""
    cameras: tuple[str, ...] = ()
    """The policy's cameras, such as head, close, left_wrist; none: the task's own choice."""
    image_turn: ImageTurn = "none"
    """How the policy's images are turned, as they will be when it is evaluated: half for LIBERO's protocols."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray from episode to episode."""
    perturb: tuple[str, ...] = ()
    """What else is drawn anew in each episode, such as lighting:severe mass:mild, as in `dualsys eval`. Sensors and
    words are recorded as they are perturbed; the expert sees the truth."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0:
            raise ConfigError("--episodes and --workers must be at least 1, --seed at least 0")
        require_camera_hz(self.camera_hz)
        require_noise_and_tail(self.noise_rad, self.tail_s)
        require_image_sides(*dict.fromkeys(image_shape(self.image_size)))
        perturbations_of(self.perturb)  # refuses what is unknown
        if self.seed + self.episodes > TRAINING_SEEDS:
            raise ConfigError(
                f"seeds {self.seed} to {self.seed + self.episodes - 1} reach into those kept for evaluation "
                f"({TRAINING_SEEDS} and above); use a smaller --seed or fewer --episodes"
            )

    @property
    def workplace(self) -> WorkplaceConfig:
        """What the environment and the expert are made from."""
        return WorkplaceConfig(
            task=self.task,
            noise_rad=self.noise_rad,
            image_size=self.image_size,
            cameras=self.cameras or None,
            image_turn=self.image_turn,
            randomization=self.randomization,
            perturb=self.perturb,
        )

    def settings(self, rows_hz: int) -> dict[str, Any]:
        """What decides the recorded data beside the seed."""
        chosen = perturbations_of(self.perturb)
        return {
            "camera_hz": self.camera_hz,
            "noise_rad": self.noise_rad,
            "tail_s": self.tail_s,
            "image_size": self.image_size if isinstance(self.image_size, int) else list(self.image_size),
            "randomization": self.randomization,
            "control_hz": rows_hz,
            # Told only where there are some: recordings of before there were any can still be gone on with.
            **({"image_turn": self.image_turn} if self.image_turn != "none" else {}),
            **({"perturb": list(self.perturb), "perturbations": described(chosen)} if chosen else {}),
        }


def main(config: DemosConfig) -> int:
    """Record, with progress on the terminal."""
    record_demonstrations(config)
    return 0


def record_demonstrations(config: DemosConfig, *, make: MakeWorkplace = make_workplace) -> DatasetInfo:
    """Record a dataset, or go on with one. Prints progress, and the expert's success rate at the end.

    Args:
        config: What to record.
        make: What the environment and the expert are made from, to both; a module's function, for worker processes.

    Returns:
        What the finished dataset says about itself.

    Raises:
        ConfigError: the cameras' rate does not divide the task's, or the suite is unknown.
        DatasetError: the folder holds something else, a recording and `resume` was not asked for, or another process
            records there; or the expert hardly ever succeeds, or so rarely that the training seeds run out.
    """
    started_s = time.monotonic()
    tasks = (config.task,) if _names_one(config) else shown_tasks(tasks_of(config.task))
    workplaces = tuple(replace(config.workplace, task=task) for task in tasks)
    shown = Demonstrated.by(make, workplaces[0])
    camera_hz = chosen_camera_hz(config.camera_hz, shown.rows_hz, RecordingProgress.say)
    config = replace(config, camera_hz=camera_hz)
    job = Job(
        make=make,
        workplaces=workplaces,
        root=config.out,
        fps=shown.rows_hz,
        settings=RecordingSettings.at(shown.rows_hz, camera_hz=camera_hz, tail_s=config.tail_s),
    )
    fresh = _fresh(config, tasks, shown)
    writer = shown.writer(config.out)
    past, before = _past(config, writer, fresh), writer.num_episodes
    places = _places(len(tasks), writer, past)
    progress = RecordingProgress(total=config.episodes * len(tasks), done=before + len(writer.staged_seeds()))
    with recorders(job, config.workers) as attempts, progress:
        if absent := _left_out(config, tasks):
            progress.say(f"left out, since no expert does them or their robot is another one: {', '.join(absent)}")
        for place in places:
            writer = shown.writer(config.out)
            with recording_alone(writer):
                ledger = _ledger(config, writer, past, place)
                past = _record(tasks[place], writer, past, ledger, attempts, progress)
    info = writer.info
    if info is None:
        raise DatasetError(f"{config.out}: nothing was recorded")
    if info.total_episodes == before:
        progress.say(f"{config.out} has {before} episodes already")
    else:
        progress.say(_summary(config.out, info, past, time.monotonic() - started_s))
    return info


def _names_one(config: DemosConfig) -> bool:
    """Whether a task is asked for, and not a suite or a pattern."""
    return "/" in config.task and not set("*?[") & set(config.task)


def _left_out(config: DemosConfig, tasks: tuple[str, ...]) -> list[str]:
    """Tasks of a suite that its dataset will not have."""
    return [] if _names_one(config) else [task for task in tasks_of(config.task) if task not in tasks]


def _fresh(config: DemosConfig, tasks: tuple[str, ...], shown: Demonstrated) -> Provenance:
    """What a recording is, before anything of it is there."""
    settings = config.settings(shown.rows_hz)
    if tasks != (config.task,):
        settings |= {
            "tasks": list(tasks),
            "episodes_of_each_task": config.episodes,
            "seeds_are": f"{SEEDS_A_TASK} times the task's place in `tasks`, and the seed of the episode",
        }
    return Provenance(
        embodiment=shown.embodiment,
        task=config.task,
        expert=shown.expert,
        settings=settings,
        first_seed=config.seed,
        next_seed=config.seed,
    )


def _places(num_tasks: int, writer: DatasetWriter, past: Provenance) -> range:
    """Places of the tasks that are still to be recorded: they become part of the dataset one after the other."""
    if num_tasks == 1:
        return range(1)
    return range(0 if writer.info is None else past.next_seed // SEEDS_A_TASK + 1, num_tasks)


def _ledger(config: DemosConfig, writer: DatasetWriter, past: Provenance, place: int) -> Ledger:
    if place == 0:
        return Ledger.of(writer.staging, past.next_seed, config.episodes - writer.num_episodes)
    return Ledger.of(writer.staging, place * SEEDS_A_TASK + config.seed, config.episodes)


def _record(
    task: str,
    writer: DatasetWriter,
    past: Provenance,
    ledger: Ledger,
    attempts: RunAttempts,
    progress: RecordingProgress,
) -> Provenance:
    """Record what a ledger wants and append it; returns what the dataset then is."""
    if ledger.wanted <= 0:
        return past
    BegunRecording(writer).go_on(_decisive(past))
    failures = 0
    for tried, outcome in enumerate(attempts(ledger), start=1):
        failures += not outcome.success
        progress.note(outcome.success)
        _require_hope(task, tried, tried - failures)
        if outcome.number - ledger.first_seed // SEEDS_A_TASK * SEEDS_A_TASK >= TRAINING_SEEDS:
            raise DatasetError(
                f"the expert failed {failures} times: the training seeds ran out at {outcome.number}; "
                "ask for fewer --episodes, or mend the expert"
            )
    kept, failed = ledger.decided()
    now = past.model_copy(
        update={
            "next_seed": kept[-1] + 1,
            "attempted": past.attempted + len(kept) + len(failed),
            "failed_seeds": [*past.failed_seeds, *failed],
            "versions": installed_versions(),
        }
    )
    writer.finish(kept, now)
    return now


def _require_hope(task: str, attempts: int, successes: int) -> None:
    """Raise `DatasetError` where an expert hardly ever succeeds."""
    if attempts >= LOOKED_AT_AFTER and successes < LEAST_SHARE * attempts:
        raise DatasetError(
            f"the expert of {task} succeeded in {successes} of {attempts} attempts "
            f"({100 * successes / attempts:.1f} %; at least {100 * LEAST_SHARE:g} % are expected): mend the expert and "
            "record into another folder, or add --resume to try on"
        )


def _past(config: DemosConfig, writer: DatasetWriter, fresh: Provenance) -> Provenance:
    """What the folder says about earlier recording, checked against the present settings. Changes nothing there."""
    past = writer.info.dualsys if writer.info is not None and writer.info.dualsys is not None else fresh
    if not config.resume and (BegunRecording(writer).exists or writer.info is not None):
        raise DatasetError(f"{config.out} holds a recording; add --resume to go on with it, or give another folder")
    require_as_begun(writer, _decisive(past), _decisive(fresh))
    return past


def _decisive(provenance: Provenance) -> dict[str, Any]:
    return {
        "task": provenance.task,
        "expert": provenance.expert,
        "first_seed": provenance.first_seed,
        "embodiment": provenance.embodiment.fingerprint(),
        **provenance.settings,
    }


def _summary(out: Path, info: DatasetInfo, provenance: Provenance, elapsed_s: float) -> str:
    kept = info.total_episodes
    size_mb = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    return (
        f"{out}: {kept} episodes, {info.total_frames} rows at {info.fps} Hz, {info.total_tasks} instructions, "
        f"{size_mb:.0f} MB. "
        f"The expert succeeded in {kept} of {provenance.attempted} ({100 * kept / provenance.attempted:.1f} %). "
        f"{elapsed_s:.0f} s."
    )
