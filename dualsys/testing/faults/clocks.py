"""A clock that is set while it runs."""

from typing import final

from dualsys.protocols import Clock


@final
class JumpingClock:
    """A clock that is another's, until one lets it jump: forward, or back, as no clock of ours does.

    Args:
        clock: Whose time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = 0.0

    def jump(self, by_s: float) -> None:
        """Set it forward by so much, or back."""
        self._ahead_s += by_s

    def now_s(self) -> float:
        """The other's time, and what it has jumped by."""
        return self._clock.now_s() + self._ahead_s

    def sleep_until_s(self, deadline_s: float) -> None:
        """Sleep until this clock shows a time."""
        self._clock.sleep_until_s(deadline_s - self._ahead_s)
