"""Times in which something is the matter: one in each period, anywhere in it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import final

from dualsys.sim_envs.perturbations.draws import stream


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A pure function of the step: no memory, so an episode may be set back.

    steps   0     period        2 period
            |..####...|#####.....|...      `#`: `lasts` steps, drawn anew in each period
    """

    seed: int
    kind: str
    channel: int
    lasts: int
    """Control steps."""
    period: int
    """Control steps, at least `lasts`."""

    def began(self, step: int) -> int | None:
        """The first step of the window that a step is in; None: it is in none."""
        number = step // self.period
        first = number * self.period + _offset(self.seed, self.kind, self.channel, number, self.period - self.lasts)
        return first if first <= step < first + self.lasts else None


@lru_cache(maxsize=4096)  # each step of a window asks for it, for each component of the state
def _offset(seed: int, kind: str, channel: int, number: int, most: int) -> int:
    return int(stream(seed, kind, channel, number).integers(most + 1))


def windows_of(*, share: float, lasts_s: float, dt_s: float, seed: int, kind: str, channel: int) -> Windows:
    """Windows of a length that take a share of the time. `share` must be above 0."""
    lasts = max(1, round(lasts_s / dt_s))
    return Windows(seed=seed, kind=kind, channel=channel, lasts=lasts, period=max(lasts, round(lasts / share)))
