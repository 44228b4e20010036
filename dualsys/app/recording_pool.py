"""Episodes recorded by several processes; what comes out depends on the seeds alone.

Every attempt leaves a file in the staging folder: an episode, or a mark that the expert failed. Which episodes make the
dataset is then decided in the order of the seeds, so that neither the number of workers nor a kill changes it.

Attempts are numbered through all tasks of a job: `SEEDS_A_TASK` times the task's place, and the episode's seed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dualsys.app.recording import Demonstrator, RecordingSettings, record_episode
from dualsys.app.worker_pool import RECORDED_IS_KEPT, use_one_thread_each, worker_pool
from dualsys.data.episode import StagedEpisode
from dualsys.data.writer import DatasetWriter
from dualsys.protocols import Environment
from dualsys.seeds import TRAINING_SEEDS
from dualsys.sim_envs.options import ImageSize, ImageTurn, Randomization

Workplace = tuple[Environment, Demonstrator]
SEEDS_A_TASK = TRAINING_SEEDS
"""Numbers that a task's attempts have room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkplaceConfig:
    """What an environment and its expert are made from."""

    task: str
    noise_rad: float
    image_size: ImageSize
    cameras: tuple[str, ...] | None = None
    """None: the task's own choice."""
    image_turn: ImageTurn = "none"
    randomization: Randomization = "usual"
    perturb: tuple[str, ...] = ()
    """By name and level, as `sim_envs.make` takes them."""


MakeWorkplace = Callable[[WorkplaceConfig], Workplace]
"""To an environment and its expert. A module's function: worker processes import it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker does."""

    make: MakeWorkplace
    workplaces: tuple[WorkplaceConfig, ...]
    """One for each task, in the order of their numbers."""
    root: Path
    fps: int
    settings: RecordingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one attempt."""

    number: int
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


RunAttempts = Callable[[Ledger], Iterator[Outcome]]
"""Records until a ledger has what it wants; yields each attempt as it ends, and enters it in the ledger."""


@contextmanager
def recorders(job: Job, workers: int) -> Iterator[RunAttempts]:
    """Processes that record, or this one where `workers` is 1; for one ledger after another.

    An error in a worker is raised here; what was staged stays.
    """
    if workers <= 1:
        use_one_thread_each()
        worker = _Worker(job)
        try:
            yield partial(_one_after_the_other, worker)
        finally:
            worker.close()
        return
    with worker_pool(workers, partial(_attempter, job), doing="recording", advice=RECORDED_IS_KEPT) as submit:
        yield partial(_side_by_side, submit, workers)


def _one_after_the_other(worker: "_Worker", ledger: Ledger) -> Iterator[Outcome]:
    for number in ledger.open_seeds():
        if len(ledger.decided()[0]) >= ledger.wanted:
            return
        yield _entered(ledger, worker.attempt(number))


def _side_by_side(submit: Callable[[int], Future[Outcome]], workers: int, ledger: Ledger) -> Iterator[Outcome]:
    running: set[Future[Outcome]] = set()
    numbers = ledger.open_seeds()
    while len(ledger.decided()[0]) < ledger.wanted:
        missing = ledger.wanted - ledger.num_successes
        while len(running) < min(2 * workers, max(missing, 1)):
            running.add(submit(next(numbers)))
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield _entered(ledger, future.result())
    wait(running)  # they stage, and the staging folder is about to go


def _entered(ledger: Ledger, outcome: Outcome) -> Outcome:
    ledger.known[outcome.number] = outcome.success
    return outcome


def _attempter(job: Job) -> Callable[[int], Outcome]:
    return _Worker(job).attempt


class _Worker:
    """The environment of one task at a time, its expert, and the folder they record into."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._place: int | None = None
        self._workplace: Workplace | None = None

    def attempt(self, number: int) -> Outcome:
        place = min(number // SEEDS_A_TASK, len(self._job.workplaces) - 1)
        seed = number - place * SEEDS_A_TASK
        environment, expert = self._at(place)
        episode = record_episode(environment, expert, seed, self._job.settings)
        if episode is None:
            (self._writer.staging / f"{number:08d}.failed").touch()
        else:
            self._writer.stage(replace(episode, seed=number))
        return Outcome(number=number, success=episode is not None)

    def close(self) -> None:
        if self._workplace is not None:
            self._workplace[0].close()
            self._workplace = None

    def _at(self, place: int) -> Workplace:
        if self._workplace is None or place != self._place:
            self.close()
            self._workplace = self._job.make(self._job.workplaces[place])
            self._writer = DatasetWriter(self._job.root, self._workplace[0].embodiment, fps=self._job.fps)
            self._place = place
        return self._workplace
