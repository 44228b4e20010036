"""When to ask for a chunk: on an absolute grid, one request in flight, given up after a timeout."""

from typing import Any, final

from dualsys.clock import Grid, Ticker
from dualsys.events import ChunkRequest
from dualsys.messages import ActionPrefix


@final
class Requester:
    """Cadence of requests. Its numbers are added to `counts` under the names in `dualsys.counters`.

        grid    |       |       |       |       |
        ask     1       2       -       3               second grid point: asked; third: skipped, 2 is in flight
        answer      1               2

    Args:
        actor_hz: Rate of the grid; it begins with the first request.
        timeout_s: A request unanswered for this long is given up and asked again at once.
        counts: Counters to add to.
    """

    def __init__(self, actor_hz: float, timeout_s: float, counts: dict[str, int]) -> None:
        self.in_flight: ChunkRequest | None = None
        self._period_s = 1.0 / actor_hz
        self._timeout_s = timeout_s
        self._counts = counts
        self.sequence = 0
        """Of the next request."""
        self._ticker: Ticker | None = None

    def restart(self) -> None:
        """Forget the request in flight and the grid; sequences go on, so that late answers are recognised."""
        self.in_flight = None
        self._ticker = None

    def note_fault(self, part: Any) -> None:
        """Something failed: where that was the actor, no answer will come."""
        if isinstance(part, str) and part == "actor":
            self.in_flight = None

    @property
    def begun(self) -> bool:
        """Whether anything was asked since the restart."""
        return self._ticker is not None

    def is_due(self, now_s: float) -> bool:
        """Whether to ask now. Call once a tick."""
        if self._ticker is None:
            self._ticker = Ticker(Grid(origin_s=now_s, period_s=self._period_s))
        due = self._ticker.due(now_s)
        if self.in_flight is None:
            return due
        if now_s - self.in_flight.stamp_s >= self._timeout_s:
            self._counts["requests_timed_out"] += 1
            self.in_flight = None
            return True
        self._counts["requests_skipped"] += due
        return False

    def ask(self, now_s: float, *, use_subgoal: bool, prefix: ActionPrefix | None = None) -> ChunkRequest:
        """The next request; it is in flight from now on."""
        self._counts["requests"] += 1
        self._counts["requests_null"] += not use_subgoal
        self.in_flight = ChunkRequest(sequence=self.sequence, stamp_s=now_s, use_subgoal=use_subgoal, prefix=prefix)
        self.sequence += 1
        return self.in_flight
