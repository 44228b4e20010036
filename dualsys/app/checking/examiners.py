"""Processes that try tasks, a task at a time: one that dies or hangs costs its task, and is replaced."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import final

from dualsys.app.checking.examination import TaskFinding, examine
from dualsys.app.process_crew import LATE, process_crew


def examine_all(tasks: Sequence[str], *, workers: int, expert_episodes: int, timeout_s: float) -> Iterator[TaskFinding]:
    """Try tasks in several processes; findings come as they are made.

    Args:
        tasks: Full names.
        workers: Processes.
        expert_episodes: As for `examine`.
        timeout_s: Wall time after which a task is given up, and its process killed.
    """
    waiting, under_way = deque(tasks), 0
    with process_crew(workers, partial(_Examiner, expert_episodes), lost=_lost, timeout_s=timeout_s) as crew:
        while waiting or under_way:
            for worker in crew.idle[: len(waiting)]:
                crew.give(waiting.popleft(), worker)
                under_way += 1
            for finding in crew.outcomes():
                under_way -= 1
                yield finding


@final
class _Examiner:
    """In a process of its own."""

    def __init__(self, expert_episodes: int) -> None:
        self._expert_episodes = expert_episodes

    def outcome(self, task: str) -> TaskFinding:
        return examine(task, expert_episodes=self._expert_episodes)


def _lost(task: str, cause: str) -> TaskFinding:
    why = f"{LATE}: --timeout-s" if cause == LATE else f"its process died ({cause})"
    return TaskFinding(task=task, status="failed", why=why)
