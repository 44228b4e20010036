"""Clocks, and the absolute grid on which everything periodic happens.

A grid point is `origin + index * period`, computed and never accumulated, so a late tick does not delay those after it.
Points that were missed are counted, not replayed.
"""

import math
import time
from dataclasses import dataclass
from typing import final

ROUNDING = 1e-6
"""Share of a period by which a time may fall short of a grid point and still count as on it."""


@final
class MonotonicClock:
    """The machine's monotonic clock: what a robot runs on."""

    def now_s(self) -> float:
        """Seconds since an arbitrary origin, the same for all processes of this machine."""
        return time.monotonic()

    def sleep_until_s(self, deadline_s: float) -> None:
        """Sleep until the deadline; at once when it has passed."""
        remaining_s = deadline_s - time.monotonic()
        while remaining_s > 0:
            time.sleep(remaining_s)
            remaining_s = deadline_s - time.monotonic()


@final
class SimulatedClock:
    """A clock that moves only when told to: two runs see the same times to the bit."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Simulated time."""
        return self._now_s

    def sleep_until_s(self, deadline_s: float) -> None:
        """Jump to the deadline; never back."""
        self._now_s = max(self._now_s, deadline_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Points `origin_s + index * period_s`, index from 0.

    index   0       1       2       3
            |-------|-------|-------|----> time
            origin  +1 period
    """

    origin_s: float
    period_s: float

    def point_s(self, index: int) -> float:
        """Time of a point."""
        return self.origin_s + index * self.period_s

    def index_at(self, now_s: float) -> int:
        """Index of the last point that is not after `now_s`; negative before the origin.

        A time that falls short of a point by rounding (a millionth of a period) counts as on it.
        """
        return math.floor((now_s - self.origin_s) / self.period_s + ROUNDING)


@final
class Ticker:
    """Says when the next point of a grid is due, once a point; points passed over are counted in `skipped`."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.skipped = 0
        """Points that passed without `due` being answered with True at their time."""
        self._next = 0

    @property
    def next_s(self) -> float:
        """Time of the next point that is not answered yet."""
        return self.grid.point_s(self._next)

    def due(self, now_s: float) -> bool:
        """True once when one or more points have come since the last True; all but the newest are skipped."""
        index = self.grid.index_at(now_s)
        if index < self._next:
            return False
        self.skipped += index - self._next
        self._next = index + 1
        return True
