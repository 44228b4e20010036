"""Episodes recorded by several processes; what comes out depends on the seeds alone.

Every attempt leaves a file in the staging folder: an episode, or a mark that the expert failed. Which episodes make the
dataset is then decided in the order of the seeds, so that neither the number of workers nor a kill changes it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dualsys.app.recording import Demonstrator, RecordingSettings, record_episode
from dualsys.app.worker_pool import RECORDED_IS_KEPT, use_one_thread_each, worker_pool
from dualsys.data.episode import StagedEpisode
from dualsys.data.writer import DatasetWriter
from dualsys.protocols import Environment
from dualsys.sim_envs.options import Randomization

Workplace = tuple[Environment, Demonstrator]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkplaceConfig:
    """What an environment and its expert are made from."""

    task: str
    noise_rad: float
    image_size: int
    cameras: tuple[str, ...] | None = None
    """None: the task's own choice."""
    randomization: Randomization = "usual"


MakeWorkplace = Callable[[WorkplaceConfig], Workplace]
"""To an environment and its expert. A module's function: worker processes import it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker does."""

    make: MakeWorkplace
    workplace: WorkplaceConfig
    root: Path
    fps: int
    settings: RecordingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one attempt."""

    seed: int
    success: bool


@dataclass(slots=True)
class Ledger:
    """Attempts so far, in the order of the seeds."""

    first_seed: int
    wanted: int
    known: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, staging: Path, first_seed: int, wanted: int) -> "Ledger":
        """What earlier runs left in the staging folder."""
        ledger = cls(first_seed, wanted)
        ledger.known = dict.fromkeys(StagedEpisode.seeds(staging), True)
        ledger.known |= {int(path.stem): False for path in staging.glob("*.failed")}
        return ledger

    def decided(self) -> tuple[list[int], list[int]]:
        """Successful and failed seeds of the dataset so far: no seed below the last of them is open."""
        kept: list[int] = []
        failed: list[int] = []
        seed = self.first_seed
        while seed in self.known and len(kept) < self.wanted:
            (kept if self.known[seed] else failed).append(seed)
            seed += 1
        return kept, failed

    def open_seeds(self) -> Iterator[int]:
        """Seeds not tried yet, ascending, without end."""
        seed = self.first_seed
        while True:
            if seed not in self.known:
                yield seed
            seed += 1

    @property
    def num_successes(self) -> int:
        """Successes known, decided or not."""
        return sum(success for seed, success in self.known.items() if seed >= self.first_seed)


def run_attempts(job: Job, ledger: Ledger, workers: int) -> Iterator[Outcome]:
    """Record until the ledger has what it wants; yields each attempt as it ends, and enters it in the ledger.

    An error in a worker is raised here; what was staged stays.
    """
    runner = _run_inline if workers <= 1 else _run_parallel
    for outcome in runner(job, ledger, workers):
        ledger.known[outcome.seed] = outcome.success
        yield outcome


def _run_inline(job: Job, ledger: Ledger, workers: int) -> Iterator[Outcome]:
    del workers
    use_one_thread_each()
    worker = _Worker(job)
    try:
        for seed in ledger.open_seeds():
            if len(ledger.decided()[0]) >= ledger.wanted:
                return
            yield worker.attempt(seed)
    finally:
        worker.close()


def _run_parallel(job: Job, ledger: Ledger, workers: int) -> Iterator[Outcome]:
    running: set[Future[Outcome]] = set()
    seeds = ledger.open_seeds()
    with worker_pool(workers, partial(_attempter, job), doing="recording", advice=RECORDED_IS_KEPT) as submit:
        while len(ledger.decided()[0]) < ledger.wanted:
            missing = ledger.wanted - ledger.num_successes
            while len(running) < min(2 * workers, max(missing, 1)):
                running.add(submit(next(seeds)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _attempter(job: Job) -> Callable[[int], Outcome]:
    return _Worker(job).attempt


class _Worker:
    """An environment, its expert and the folder they record into."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._environment, self._expert = job.make(job.workplace)
        self._writer = DatasetWriter(job.root, self._environment.embodiment, fps=job.fps)

    def attempt(self, seed: int) -> Outcome:
        episode = record_episode(self._environment, self._expert, seed, self._job.settings)
        if episode is None:
            (self._writer.staging / f"{seed:08d}.failed").touch()
        else:
            self._writer.stage(episode)
        return Outcome(seed=seed, success=episode is not None)

    def close(self) -> None:
        self._environment.close()
