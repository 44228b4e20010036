"""Harm done to a run of processes while it is watched: a listener for `dualsys.bridge.processes.run_processes`."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

from dualsys.errors import NotConforming
from dualsys.testing.faults import processes

TICKS_BEFORE = 150
"""Ticks that are watched before anything happens."""

Statuses = Mapping[str, dict[str, Any]]


class Watched(Protocol):
    """What a run tells now and then (`dualsys.bridge.progress.Progress`)."""

    @property
    def statuses(self) -> Statuses:
        """What each process tells of itself, by name."""
        ...


@final
class Misfortune:
    """Does harm once, after a while, and ends the run when a condition holds; counts the deadlines missed around it.

    Args:
        harm: What is done, given what the processes tell.
        until: When the run may end; looked at once as many ticks have passed after the harm as before it.
    """

    def __init__(self, harm: Callable[[Statuses], None], until: Callable[[Statuses], bool]) -> None:
        self._harm, self._until = harm, until
        self._looks: list[tuple[int, int]] = []
        self._harmed_at: int | None = None
        self._ended = False

    def __call__(self, progress: Watched) -> None:
        """Look at the run, do harm, end it."""
        tick = progress.statuses.get("tick", {})
        if not tick.get("running"):
            return
        self._looks.append((tick["count"], tick["misses"]))
        if self._harmed_at is None:
            if tick["count"] >= TICKS_BEFORE and tick["chunks"] >= 3 and tick["subgoals"] >= 3:
                self._harmed_at = len(self._looks) - 1
                self._harm(progress.statuses)
        elif not self._ended and tick["count"] >= self.ticks_before + TICKS_BEFORE and self._until(progress.statuses):
            self._ended = True
            os.kill(tick["pid"], signal.SIGTERM)

    @property
    def ticks_before(self) -> int:
        """Ticks before the harm."""
        return self._looks[self._harm_place()][0]

    def check(self, allowed_misses: int = 2) -> None:
        """Refuse a tick that missed more deadlines after the harm than in all the time before, some aside.

        Raises `NotConforming`.
        """
        ticks, before = self._looks[self._harm_place()]
        missed = next(misses for count, misses in self._looks if count >= ticks + TICKS_BEFORE) - before
        if missed > before + allowed_misses:
            raise NotConforming(
                f"{missed} deadlines were missed in {TICKS_BEFORE} ticks after the harm, {before} before"
            )

    def _harm_place(self) -> int:
        if self._harmed_at is None:
            raise NotConforming("the run ended before any harm was done")
        return self._harmed_at


def kill(statuses: Statuses, name: str) -> None:
    """Kill a process of the run."""
    processes.kill(statuses[name]["pid"])


def stop(statuses: Statuses, name: str) -> None:
    """Stop a process of the run where it is."""
    processes.stop(statuses[name]["pid"])


def restarts(statuses: Statuses, name: str) -> int:
    """How often a process of the run was started again."""
    return int(statuses["supervisor"]["restarts"][name])
