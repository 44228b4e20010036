"""Harm done to a run of processes while it is watched: a listener for `dualsys.bridge.processes.run_processes`."""

import math
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, final

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


class _Look(NamedTuple):
    """What the tick had done when it was looked at."""

    ticks: int
    misses: int
    waited_s: float
    hz: float


@final
class Misfortune:
    """Does harm once, after a while, and ends the run when a condition holds; counts the deadlines missed around it.

    Deadlines that were missed for want of a processor are the machine's doing and are allowed for: whoever waits for
    another process sleeps, and doesn't stand in line for a processor.

    Args:
        harm: What is done, given what the processes tell.
        until: When the run may end; looked at once as many ticks have passed after the harm as before it.
    """

    def __init__(self, harm: Callable[[Statuses], None], until: Callable[[Statuses], bool]) -> None:
        self._harm, self._until = harm, until
        self._looks: list[_Look] = []
        self._harmed_at: int | None = None
        self._ended = False

    def __call__(self, progress: Watched) -> None:
        """Look at the run, do harm, end it."""
        tick = progress.statuses.get("tick", {})
        if not tick.get("running"):
            return
        self._looks.append(_Look(tick["count"], tick["misses"], _waited_s(tick["pid"]), tick["hz"]))
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
        return self._looks[self._harm_place()].ticks

    def check(self, allowed_misses: int = 2) -> None:
        """Refuse a tick that missed more deadlines after the harm than in all the time before, some aside.

        Aside are `allowed_misses` and those for which it stood in line for a processor.

        Raises `NotConforming`.
        """
        harm = self._looks[self._harm_place()]
        after = next(look for look in self._looks if look.ticks >= harm.ticks + TICKS_BEFORE)
        missed, waited_s = after.misses - harm.misses, after.waited_s - self._waited_before_s(harm)
        # A wait that begins just before a deadline makes that one late, too.
        excused = math.ceil(max(waited_s, 0.0) * after.hz)
        if missed > harm.misses + allowed_misses + excused:
            raise NotConforming(
                f"{missed} deadlines were missed in {after.ticks - harm.ticks} ticks after the harm, {harm.misses} in "
                f"{harm.ticks} before; for {waited_s:.3f} s there was no processor, which excuses {excused}"
            )

    def _waited_before_s(self, harm: _Look) -> float:
        """Wait by the time at which the tick told what was seen of it: that may be a quarter of a second old.

        What it waited since has its misses in what it tells next, so the wait is that of the look before.
        """
        older = [look for look in self._looks if look.ticks < harm.ticks]
        return (older[-1] if older else harm).waited_s

    def _harm_place(self) -> int:
        if self._harmed_at is None:
            raise NotConforming("the run ended before any harm was done")
        return self._harmed_at


def _waited_s(pid: int) -> float:
    try:
        return processes.waited_s(pid)
    except ProcessLookupError:  # it has just ended; its last word is still there
        return 0.0


def kill(statuses: Statuses, name: str) -> None:
    """Kill a process of the run."""
    processes.kill(statuses[name]["pid"])


def stop(statuses: Statuses, name: str) -> None:
    """Stop a process of the run where it is."""
    processes.stop(statuses[name]["pid"])


def restarts(statuses: Statuses, name: str) -> int:
    """How often a process of the run was started again."""
    return int(statuses["supervisor"]["restarts"][name])
