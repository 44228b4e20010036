"""Processes that try tasks, a task at a time: one that dies or hangs costs its task, and is replaced."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from dualsys.app.checking.examination import TaskFinding, examine
from dualsys.app.worker_pool import use_one_thread_each

STARTS_WITHIN_S = 300.0
"""Wall time that a process has to come up, which is no task's fault."""
_BEGUN = None
"""What a process says when it takes a task up."""


def examine_all(
    tasks: Sequence[str], *, workers: int, expert_episodes: int, timeout_s: float
) -> Iterator[TaskFinding]:
    """Try tasks in several processes; findings come as they are made.

    Args:
        tasks: Full names.
        workers: Processes.
        expert_episodes: As for `examine`.
        timeout_s: Wall time after which a task is given up, and its process killed.
    """
    use_one_thread_each()
    waiting = deque(tasks)
    busy: list[_Examiner] = []
    idle: list[_Examiner] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                examiner = idle.pop() if idle else _Examiner.start(expert_episodes)
                examiner.give(waiting.popleft(), timeout_s)
                busy.append(examiner)
            first_s = min(examiner.deadline_s for examiner in busy)
            wait([examiner.line for examiner in busy], max(0.0, first_s - time.monotonic()))
            for examiner in list(busy):
                if (finding := examiner.finding()) is not None:
                    busy.remove(examiner)
                    if examiner.is_alive:
                        idle.append(examiner)
                    yield finding
    finally:
        for examiner in (*busy, *idle):
            examiner.end()


@dataclass(slots=True, kw_only=True)
class _Examiner:
    """This side of a process that tries tasks."""

    process: Any
    line: Connection
    task: str = ""
    timeout_s: float = 0.0
    deadline_s: float = 0.0
    is_alive: bool = True

    @classmethod
    def start(cls, expert_episodes: int) -> "_Examiner":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, expert_episodes), daemon=True)
        process.start()
        theirs.close()  # with their end alone left there, their death is the end of the line
        return cls(process=process, line=ours)

    def give(self, task: str, timeout_s: float) -> None:
        self.task, self.timeout_s = task, timeout_s
        self.deadline_s = time.monotonic() + STARTS_WITHIN_S
        with suppress(OSError):  # it has died in between: the line tells
            self.line.send(task)

    def finding(self) -> TaskFinding | None:
        """What it found, or what became of it; None while it is at work."""
        if self.line.poll():
            try:
                said: TaskFinding | None = self.line.recv()
            except (EOFError, OSError):
                return self._lost(f"its process died ({self._end_status()})")
            if said is _BEGUN:
                self.deadline_s = time.monotonic() + self.timeout_s
            return said
        if time.monotonic() >= self.deadline_s:
            return self._lost("it did not come to an end in time: --timeout-s")
        return None

    def end(self) -> None:
        """Let it go, or make it."""
        self.is_alive = False
        self.line.close()
        self.process.kill()
        self.process.join()

    def _end_status(self) -> str:
        self.process.join(10)
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"

    def _lost(self, why: str) -> TaskFinding:
        self.end()
        return TaskFinding(task=self.task, status="failed", why=why)


def _serve(line: Connection, expert_episodes: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    with suppress(EOFError, OSError):
        while True:
            task = line.recv()
            line.send(_BEGUN)
            line.send(examine(task, expert_episodes=expert_episodes))
