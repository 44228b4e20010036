"""A round of corrections by one or several processes; what comes out depends on the seeds alone.

Every episode leaves its corrections in the staging folder and, after them, a file that says how the controller did. An
episode without that file is played again, so neither the number of workers nor a kill changes the dataset.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from dualsys.app.controller import Controller
from dualsys.app.correction import CorrectionPlan, correct_episode
from dualsys.app.recording import Demonstrator, RecordingSettings
from dualsys.app.worker_pool import RECORDED_IS_KEPT, use_one_thread_each, worker_pool
from dualsys.data.layout import STAGING_DIR
from dualsys.data.writer import DatasetWriter
from dualsys.files import read_json, write_json
from dualsys.protocols import Environment, Rewindable


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRound:
    """What every worker does."""

    make: Callable[[], tuple[Environment, Controller, Demonstrator]]
    """To an environment that can be set back, a controller and an expert; it is sent to the workers."""
    plan: CorrectionPlan
    recording: RecordingSettings
    root: Path
    fps: int
    seeds: range


def run_round(job: CorrectionRound, workers: int) -> Iterator[bool]:
    """Play every episode that has not been played; yields of each whether the controller solved it, as they end.

    An error in a worker is raised here; what was staged stays.
    """
    told = {seed: _told_file(job.root, seed) for seed in job.seeds}
    todo = [seed for seed, file in told.items() if not file.is_file()]
    yield from [bool(read_json(told[seed])["success"]) for seed in job.seeds if seed not in set(todo)]
    if todo:
        yield from (_run_inline(job, todo) if workers == 1 else _run_parallel(job, todo, workers))


def _run_inline(job: CorrectionRound, seeds: list[int]) -> Iterator[bool]:
    use_one_thread_each()
    worker = _Worker(job)
    try:
        yield from map(worker.correct, seeds)
    finally:
        worker.close()


def _run_parallel(job: CorrectionRound, seeds: list[int], workers: int) -> Iterator[bool]:
    with worker_pool(workers, partial(_corrector, job), doing="recording", advice=RECORDED_IS_KEPT) as submit:
        for future in as_completed([submit(seed) for seed in seeds]):
            yield future.result()


def _corrector(job: CorrectionRound) -> Callable[[int], bool]:
    return _Worker(job).correct


def failed_seeds(root: Path, seeds: Iterable[int]) -> list[int]:
    """Of a round that is through, before its dataset is finished: what the controller failed at."""
    return [seed for seed in seeds if not read_json(_told_file(root, seed))["success"]]


def _told_file(root: Path, seed: int) -> Path:
    return root / STAGING_DIR / f"{seed:08d}.result"


class _Worker:
    """An environment, a controller, an expert, and the folder they record into."""

    def __init__(self, job: CorrectionRound) -> None:
        self._job = job
        environment, self._controller, self._expert = job.make()
        self._environment = cast(Rewindable, environment)
        self._writer = DatasetWriter(job.root, environment.embodiment, fps=job.fps)

    def correct(self, seed: int) -> bool:
        job = self._job
        result, episodes = correct_episode(
            self._environment, self._controller, self._expert, seed, job.plan, job.recording
        )
        for episode in episodes:
            self._writer.stage(episode)
        write_json(_told_file(job.root, seed), {"success": result.success, "corrections": len(episodes)})
        return result.success

    def close(self) -> None:
        self._controller.close()
        self._environment.close()
