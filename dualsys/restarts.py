"""How often and how soon something that dies is started again: back-off and two limits, without a clock.

restart    1        2          3            4              5           given up
after      0   .5   |    1     |     2      |      4       |    8      (more than `max_restarts` in `window_s`)
"""

from typing import final

from dualsys.settings import RestartConfig


@final
class RestartBudget:
    """Counts restarts since the last healthy time.

    Args:
        config: Delays and limits.
    """

    def __init__(self, config: RestartConfig) -> None:
        self._config = config
        self._restarts_s: list[float] = []

    @property
    def in_a_row(self) -> int:
        """Restarts since the last healthy time."""
        return len(self._restarts_s)

    def delay_s(self, now_s: float) -> float | None:
        """How long to wait with the next restart; None: there is none left. Never shorter than the one before it."""
        config = self._config
        recent = sum(restart_s > now_s - config.window_s for restart_s in self._restarts_s)
        if recent >= config.max_restarts or self.in_a_row >= config.max_in_a_row:
            return None
        if self.in_a_row == 0:
            return 0.0
        doublings = min(self.in_a_row - 1, 60)
        return float(min(config.first_delay_s * 2.0**doublings, config.longest_delay_s))

    def spend(self, now_s: float) -> None:
        """A restart happens."""
        self._restarts_s.append(now_s)

    def refill(self) -> None:
        """It has been healthy for long enough."""
        self._restarts_s.clear()

    def exhausted(self) -> str:
        """Why there is no restart left, in words."""
        config = self._config
        if 0 in (config.max_restarts, config.max_in_a_row):
            return "no restart is allowed"
        if self.in_a_row >= config.max_in_a_row:
            return f"{_restarts(self.in_a_row)} in a row did not help"
        return f"{_restarts(config.max_restarts)} within {config.window_s:g} s did not help"


def _restarts(count: int) -> str:
    return f"{count} restart{'s' if count != 1 else ''}"
