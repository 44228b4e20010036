"""Harm done to a run of processes while it is watched."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from dualsys.bridge.progress import Progress

TICKS_BEFORE = 150
"""Ticks that are watched before anything happens."""

Statuses = Mapping[str, dict[str, Any]]


class Misfortune:
    """Does harm once, after a while, and ends the run when a condition holds; counts the deadlines missed around it."""

    def __init__(self, harm: Callable[[Statuses], None], until: Callable[[Statuses], bool]) -> None:
        self._harm, self._until = harm, until
        self._looks: list[tuple[int, int]] = []
        self._harmed_at: int | None = None
        self._ended = False

    def __call__(self, progress: Progress) -> None:
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
        assert self._harmed_at is not None
        return self._looks[self._harmed_at][0]

    def check(self) -> None:
        """The tick served its deadlines after the harm as well as in the same time before."""
        assert self._harmed_at is not None
        ticks, before = self._looks[self._harmed_at]
        after = next(misses for count, misses in self._looks if count >= ticks + TICKS_BEFORE) - before
        assert after <= before + 2


def kill(statuses: Statuses, name: str) -> None:
    os.kill(statuses[name]["pid"], signal.SIGKILL)


def restarts(statuses: Statuses, name: str) -> int:
    return int(statuses["supervisor"]["restarts"][name])
