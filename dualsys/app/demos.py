"""`dualsys demos`: a scripted expert's episodes as a LeRobot v3.0 dataset."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dualsys.app.recording import (
    ROWS_HZ,
    RecordingSettings,
    privileged_columns,
    require_image_sides,
    require_noise_and_tail,
    rows_per_frame,
)
from dualsys.app.recording_pool import Job, Ledger, MakeWorkplace, WorkplaceConfig, run_attempts
from dualsys.app.recording_progress import RecordingProgress
from dualsys.app.workplace import make_workplace
from dualsys.checkpoint import installed_versions
from dualsys.data.begun import BegunRecording, require_as_begun
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.data.recording_lock import recording_alone
from dualsys.data.writer import DatasetWriter
from dualsys.errors import ConfigError, DatasetError
from dualsys.sim_envs.options import Randomization

TRAINING_SEEDS = 8000
"""Seeds from here on are for evaluations."""
LEAST_SHARE = 0.02
"""Of attempts that succeed: below it an expert is broken, and more attempts are a waste."""
LOOKED_AT_AFTER = 50
"""Attempts of a command, after which their share is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemosConfig:
    """Records an expert's successful episodes as a LeRobot v3.0 dataset, from consecutive seeds."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """What to demonstrate, such as humanoid/touch; `dualsys list` shows all."""
    episodes: int
    """Successful episodes the dataset is to have."""
    out: Path
    """Folder of the dataset."""
    seed: int = 0
    """Seed of the first episode; 0 to 7999 are for training, the rest for evaluations."""
    workers: int = 1
    """Processes that record at once. The dataset is the same for any number."""
    resume: bool = False
    """Go on with a recording that was stopped, or make a finished one longer."""
    camera_hz: float = 10.0
    """Frames a second; rows come at 50 Hz and show the newest frame."""
    noise_rad: float = 0.01
    """How far joints are pushed off the expert's path, so that the data shows the way back; 0: not at all."""
    tail_s: float = 0.3
    """Time recorded after success, in which the expert stays where it is."""
    image_size: int = 96
    """Height and width of the cameras' images in pixels; even."""
    cameras: tuple[str, ...] = ()
    """The policy's cameras, such as head, close, left_wrist; none: the task's own choice."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray from episode to episode."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0:
            raise ConfigError("--episodes and --workers must be at least 1, --seed at least 0")
        rows_per_frame(self.camera_hz)  # refuses one that does not divide
        require_noise_and_tail(self.noise_rad, self.tail_s)
        require_image_sides(self.image_size)
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
            randomization=self.randomization,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the recorded data beside the seed."""
        return {
            "camera_hz": self.camera_hz,
            "noise_rad": self.noise_rad,
            "tail_s": self.tail_s,
            "image_size": self.image_size,
            "randomization": self.randomization,
            "control_hz": ROWS_HZ,
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
        DatasetError: the folder holds something else, a recording and `resume` was not asked for, or another process
            records there; or the expert hardly ever succeeds, or so rarely that the training seeds run out.
    """
    environment, expert = make(config.workplace)
    embodiment, expert_name, columns = environment.embodiment, expert.name, privileged_columns(environment)
    environment.close()
    writer = DatasetWriter(config.out, embodiment, fps=ROWS_HZ, column_names=columns)
    fresh = Provenance(
        embodiment=embodiment,
        task=config.task,
        expert=expert_name,
        settings=config.settings,
        first_seed=config.seed,
        next_seed=config.seed,
    )
    with recording_alone(writer):
        return _record(config, make, writer, fresh)


def _record(config: DemosConfig, make: MakeWorkplace, writer: DatasetWriter, fresh: Provenance) -> DatasetInfo:
    started_s = time.monotonic()
    past = _past(config, writer, fresh)
    if writer.num_episodes >= config.episodes and writer.info is not None:
        RecordingProgress.say(f"{config.out} has {writer.num_episodes} episodes already")
        return writer.info
    BegunRecording(writer).go_on(_decisive(fresh))
    ledger = Ledger.of(writer.staging, past.next_seed, config.episodes - writer.num_episodes)
    _attempt_all(config, make, ledger, writer.num_episodes)
    kept, failed = ledger.decided()
    provenance = past.model_copy(
        update={
            "next_seed": kept[-1] + 1,
            "attempted": past.attempted + len(kept) + len(failed),
            "failed_seeds": [*past.failed_seeds, *failed],
            "versions": installed_versions(),
        }
    )
    info = writer.finish(kept, provenance)
    RecordingProgress.say(_summary(config.out, info, provenance, time.monotonic() - started_s))
    return info


def _attempt_all(config: DemosConfig, make: MakeWorkplace, ledger: Ledger, present: int) -> None:
    job = Job(
        make=make,
        workplace=config.workplace,
        root=config.out,
        fps=ROWS_HZ,
        settings=RecordingSettings(
            rows_per_frame=rows_per_frame(config.camera_hz),
            tail_rows=round(config.tail_s * ROWS_HZ),
        ),
    )
    with RecordingProgress(total=config.episodes, done=present + ledger.num_successes) as progress:
        for attempts, outcome in enumerate(run_attempts(job, ledger, config.workers), start=1):
            progress.note(outcome.success)
            _require_hope(config, attempts, attempts - progress.failures)
            if outcome.seed >= TRAINING_SEEDS:
                raise DatasetError(
                    f"the expert failed {progress.failures} times: the training seeds ran out at {outcome.seed}; "
                    "ask for fewer --episodes, or mend the expert"
                )


def _require_hope(config: DemosConfig, attempts: int, successes: int) -> None:
    """Raise `DatasetError` where an expert hardly ever succeeds."""
    if attempts >= LOOKED_AT_AFTER and successes < LEAST_SHARE * attempts:
        raise DatasetError(
            f"the expert of {config.task} succeeded in {successes} of {attempts} attempts "
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
