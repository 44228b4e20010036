"""Workers that are processes of this machine, each at the end of a pipe of its own, with one thing to do at a time.

So it is known what a worker that dies or hangs was at. They end with the block that uses them, and with this process.
"""

import math
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Generic, Protocol, TypeVar, final

from dualsys.app.ctrl_c import CtrlC, watched
from dualsys.app.worker_pool import leave_with, use_one_thread_each

Job = TypeVar("Job")
JobOf = TypeVar("JobOf", contravariant=True)
Outcome = TypeVar("Outcome")
OutcomeOf = TypeVar("OutcomeOf", covariant=True)

LATE = "it did not come to an end in time"
"""What became of a worker that was given up."""
STARTS_WITHIN_S = 300.0
"""Wall time that a process has to come up, where what it is to do has a limit: that is no fault of its."""
_BEGUN = None
"""What a process says when it takes something up."""


class Doer(Protocol[JobOf, OutcomeOf]):
    """What does the work, in a worker."""

    def outcome(self, job: JobOf) -> OutcomeOf:
        """Do it. Raises nothing but what ends the process."""
        ...


@dataclass(slots=True)
class _Worker(Generic[Job]):
    process: multiprocessing.process.BaseProcess
    connection: Connection
    job: Job | None = None
    deadline_s: float = math.inf


@contextmanager
def process_crew(
    workers: int,
    make: Callable[[], Doer[Job, Outcome]],
    *,
    lost: Callable[[Job, str], Outcome],
    timeout_s: float = math.inf,
) -> Iterator["ProcessCrew[Job, Outcome]"]:
    """Processes that work; they end at once when the block ends. Ctrl-C is for this process alone.

    Args:
        workers: How many.
        make: Called once by each; it is sent there.
        lost: What comes of something whose worker has died, or was given up: with the cause in words.
        timeout_s: Wall time after which a worker is given up, and killed.
    """
    use_one_thread_each()
    leash, held = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with leash, held, watched() as ctrl_c:
        crew = ProcessCrew(workers, make, lost, timeout_s, leash, ctrl_c)
        try:
            yield crew
        finally:
            ctrl_c.hold(lambda: None)
            crew.end()


@final
class ProcessCrew(Generic[Job, Outcome]):
    """A fixed number of processes, started when there is something for them to do. Made by `process_crew`."""

    def __init__(  # how many, what they do, when that is too late, and whose they are
        self,
        workers: int,
        make: Callable[[], Doer[Job, Outcome]],
        lost: Callable[[Job, str], Outcome],
        timeout_s: float,
        leash: Connection,
        ctrl_c: CtrlC,
    ) -> None:
        self._size, self._make, self._lost, self._timeout_s = workers, make, lost, timeout_s
        self._leash, self._ctrl_c = leash, ctrl_c
        self._workers: dict[int, _Worker[Job]] = {}

    @property
    def idle(self) -> list[int]:
        """Workers that wait, or could be started."""
        return [each for each in range(self._size) if each not in self._workers or self._workers[each].job is None]

    def give(self, job: Job, worker: int) -> None:
        """Have one of those do something."""
        if worker not in self._workers:
            self._workers[worker] = self._start()
        chosen = self._workers[worker]
        chosen.job = job
        chosen.deadline_s = math.inf if math.isinf(self._timeout_s) else time.monotonic() + STARTS_WITHIN_S
        with suppress(OSError):  # it has died as it waited: `outcomes` says so
            chosen.connection.send(job)

    def outcomes(self) -> list[Outcome]:
        """Wait until something has happened, and what came of what was given, each once: perhaps of nothing yet."""
        first_s = min((each.deadline_s for each in self._workers.values()), default=math.inf)
        patience_s = None if math.isinf(first_s) else max(0.0, first_s - time.monotonic())
        ready = set(wait([each.connection for each in self._workers.values()], patience_s))
        found: list[Outcome] = []
        for number, worker in list(self._workers.items()):
            if worker.connection in ready:
                found += self._heard(number, worker)
            elif worker.deadline_s <= time.monotonic():
                worker.process.kill()
                found += self._gone(number, worker, LATE)
        return found

    def end(self) -> None:
        """Whatever they do."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()

    def _start(self) -> _Worker[Job]:
        """Ctrl-C must not strike before the worker ignores it, which inherits what this thread has blocked."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._make, theirs, self._leash))
        with self._ctrl_c.held(), theirs:
            # multiprocessing's own helper process, where it starts, unblocks SIGINT in this thread: so not in between.
            resource_tracker.ensure_running()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _Worker(process, ours)

    def _heard(self, number: int, worker: _Worker[Job]) -> list[Outcome]:
        """What a worker has to say: nothing more than that it has begun, or what came of it."""
        try:
            said: Outcome | None = worker.connection.recv()
        except (EOFError, OSError):
            return self._gone(number, worker, "")
        if said is _BEGUN:
            worker.deadline_s = time.monotonic() + self._timeout_s
            return []
        worker.job, worker.deadline_s = None, math.inf
        return [said]

    def _gone(self, number: int, worker: _Worker[Job], cause: str) -> list[Outcome]:
        """One that has died, for a cause or by its status; with nothing to do it has lost nothing."""
        del self._workers[number]
        worker.connection.close()
        worker.process.join()
        return [] if worker.job is None else [self._lost(worker.job, cause or _cause(worker.process.exitcode))]


def _cause(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it exited with {status}"
    return f"killed by {signal.Signals(-status).name}" + (": out of memory?" if status == -signal.SIGKILL else "")


def _serve(make: Callable[[], Doer[Job, Outcome]], connection: Connection, leash: Connection) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=(leash,), daemon=True).start()
    doer = make()
    while True:
        job = connection.recv()
        connection.send(_BEGUN)
        connection.send(doer.outcome(job))
