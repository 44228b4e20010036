"""Things on their way on the virtual clock, each with a delay of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

_ROUNDING_S = 1e-9
"""Sums of times may fall short of an instant by this much and still be on it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LateResult:
    """Something that arrives, such as what a model answered, and when it can be used."""

    ready_s: float
    value: Any

    def is_ready(self, now_s: float) -> bool:
        """Whether it can be used by now."""
        return self.ready_s <= now_s + _ROUNDING_S


@final
class DelayLine:
    """Nobody waits for anybody: what was sent later may arrive first, and some of it never does.

        sent      a     b     c     d
                   `----.----`|---.  lost
        arrived         |  a  b   c          b and c have shorter delays

    Args:
        delays: Seconds, one for each thing that isn't lost.
        losses: Whether a thing is lost.
    """

    def __init__(self, delays: Iterator[float], losses: Iterator[bool]) -> None:
        self._delays, self._losses = delays, losses
        self._under_way: list[LateResult] = []

    def arrival(self, now_s: float) -> float | None:
        """When what is sent now arrives, None: never. To be asked once for each thing."""
        return None if next(self._losses) else now_s + next(self._delays)

    def put(self, value: Any, *, ready_s: float) -> None:
        """Send it."""
        self._under_way.append(LateResult(ready_s=ready_s, value=value))

    def arrived(self, now_s: float) -> list[LateResult]:
        """What has arrived since this was last asked, in the order of arrival, then that of sending."""
        ready = [late for late in self._under_way if late.is_ready(now_s)]
        if ready:
            self._under_way = [late for late in self._under_way if not late.is_ready(now_s)]
        return sorted(ready, key=lambda late: late.ready_s)

    def clear(self) -> None:
        """Forget what is under way."""
        self._under_way = []
