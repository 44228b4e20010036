"""Workers that are processes of this machine, each at the end of a pipe of its own.

So it is known which episode a worker that dies was at. They end with the block that uses them, and with this process.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import cast, final

from dualsys.app.ctrl_c import CtrlC, watched
from dualsys.app.evaluation.job import Death, EpisodeJob, Outcome
from dualsys.app.evaluation.player import Player
from dualsys.app.worker_pool import leave_with, use_one_thread_each

MakePlayer = Callable[[], Player]
"""It is sent to the workers."""


@dataclass(slots=True)
class _Worker:
    process: multiprocessing.process.BaseProcess
    connection: Connection
    job: EpisodeJob | None = None


@contextmanager
def process_crew(workers: int, make: MakePlayer) -> Iterator["ProcessCrew"]:
    """Processes that play; they end at once when the block ends. Ctrl-C is for this process alone."""
    use_one_thread_each()
    leash, held = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with leash, held, watched() as ctrl_c:
        crew = ProcessCrew(workers, make, leash, ctrl_c)
        try:
            yield crew
        finally:
            ctrl_c.hold(lambda: None)
            crew.end()


@final
class ProcessCrew:
    """A fixed number of processes, started when there is something for them to do."""

    def __init__(self, workers: int, make: MakePlayer, leash: Connection, ctrl_c: CtrlC) -> None:
        self._size, self._make, self._leash, self._ctrl_c = workers, make, leash, ctrl_c
        self._workers: dict[int, _Worker] = {}

    @property
    def idle(self) -> list[int]:
        """Workers that wait, or could be started."""
        return [each for each in range(self._size) if each not in self._workers or self._workers[each].job is None]

    def give(self, job: EpisodeJob, worker: int) -> None:
        """Have one of those play an episode."""
        if worker not in self._workers:
            self._workers[worker] = self._start()
        self._workers[worker].job = job
        with suppress(OSError):  # it has died as it waited: `outcomes` says so
            self._workers[worker].connection.send(job)

    def outcomes(self) -> list[Outcome]:
        """Wait for the next that end or die."""
        ready = set(wait([each.connection for each in self._workers.values()]))
        found = [self._read(*each) for each in list(self._workers.items()) if each[1].connection in ready]
        return [outcome for outcome in found if outcome is not None]

    def end(self) -> None:
        """Whatever they do."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()

    def _start(self) -> _Worker:
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

    def _read(self, number: int, worker: _Worker) -> Outcome | None:
        """What a worker has to say; None where it died with nothing to do, and nothing is lost."""
        try:
            outcome = cast(Outcome, worker.connection.recv())
        except (EOFError, OSError):
            del self._workers[number]
            worker.connection.close()
            worker.process.join()
            return None if worker.job is None else Death(job=worker.job, cause=_cause(worker.process.exitcode))
        worker.job = None
        return outcome


def _cause(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it exited with {status}"
    return f"killed by {signal.Signals(-status).name}" + (": out of memory?" if status == -signal.SIGKILL else "")


def _serve(make: MakePlayer, connection: Connection, leash: Connection) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=(leash,), daemon=True).start()
    player = make()
    while True:
        connection.send(player.outcome(connection.recv()))
