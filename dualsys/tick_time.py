"""The time of ticks: it never goes back, and a late tick moves the motion no further than a gap allows."""

from typing import Any, final

from dualsys.chunking import is_number


@final
class TickTime:
    """Present time of the decision core.

    Args:
        max_gap_s: The motion goes on by no more than this in one tick.
        counts: Counters to add to, under the names in `dualsys.counters`.
    """

    def __init__(self, max_gap_s: float, counts: dict[str, int]) -> None:
        self._max_gap_s, self._counts = max_gap_s, counts
        self.restart(0.0)

    def restart(self, now_s: float) -> None:
        """An episode begins."""
        self.now_s = now_s
        self.attempt_s = now_s
        """When the present attempt began: what was seen before it says nothing of it."""
        self._ticked_s: float | None = None

    def pass_to(self, now_s: Any, *, moving: bool) -> float:
        """Move to a tick's time; the time that motion goes on by. What is no time, or lies back, is counted."""
        if not is_number(now_s) or now_s < self.now_s:
            self._counts["bad_events"] += 1
            return 0.0
        elapsed_s = float(now_s) - self.now_s
        self.now_s = float(now_s)
        if elapsed_s > self._max_gap_s * (1 + 1e-6) and moving:
            self._counts["late_ticks"] += 1
            return self._max_gap_s
        return elapsed_s

    def is_again(self) -> bool:
        """Whether the present instant has been decided before, as it is without latency. Asked once a tick."""
        again, self._ticked_s = self._ticked_s == self.now_s, self.now_s
        return again
