"""What a real-time tick measures about itself, in constant memory."""

from collections import Counter
from typing import Any, final

from dualsys.measures import Histogram, Rate
from dualsys.messages import Command


@final
class TickMeasures:
    """Counts of one run.

    deadline    0       1       2       3       4
    wake        |.          ....|       |.      |        tick 1 woke 1.3 periods late
    missed              1       -                        1 was later than a period, 2 was skipped: two misses
    """

    def __init__(self) -> None:
        self.ticks = Rate()
        self.subgoals = Rate()
        self.chunks = Rate()
        self.lateness_us = Histogram(smallest=0.1, largest=1e9)
        self.work_us = Histogram(smallest=0.1, largest=1e9)
        self.planner_age_s = Histogram()
        self.chunk_age_s = Histogram()
        self.skipped = 0
        """Deadlines that had passed before a tick could serve them."""
        self.late = 0
        """Ticks that woke more than a period after their deadline."""
        self.limited: Counter[str] = Counter()
        """Commands in which a limit changed something, by limit."""

    @property
    def misses(self) -> int:
        """Ticks that were later than one period, skipped ones included."""
        return self.late + self.skipped

    def woke(self, now_s: float, lateness_s: float, *, behind: int) -> None:
        """A tick woke, and `behind` deadlines after its own had passed by then."""
        self.ticks.add(now_s)
        self.lateness_us.add(max(lateness_s, 0.0) * 1e6)
        self.late += behind > 0
        self.skipped += behind

    def sent(self, command: Command) -> None:
        """A command was sent."""
        self.limited.update(command.limited)
        self.chunk_age_s.add(command.chunk_age_s)

    def summary(self) -> dict[str, Any]:
        """The parts of a run's report that the tick knows."""
        return {
            "tick": {
                "hz": self.ticks.hz,
                "count": self.ticks.count,
                "misses": self.misses,
                "skipped": self.skipped,
                "lateness_us": _percentiles(self.lateness_us, "p50", "p99", "p99_9", "max"),
                "work_us": _percentiles(self.work_us, "p50", "p99", "p99_9", "max"),
            },
            "planner": {
                "hz": self.subgoals.hz,
                "age_s": _percentiles(self.planner_age_s, "p50", "p99", "max"),
                "ticks_without_subgoal": self.planner_age_s.unusable,
            },
            "actor": {
                "hz": self.chunks.hz,
                "count": self.chunks.count,
                "chunk_age_s": _percentiles(self.chunk_age_s, "p50", "p99", "max"),
            },
            "limited": dict(sorted(self.limited.items())),
        }


def _percentiles(histogram: Histogram, *names: str) -> dict[str, Any]:
    summary = histogram.summary()
    return {name: summary[name] for name in names}
