r"""Jerk limits: the mean of the last commands.

    accelerations before     ____            after      __         a window of m ticks turns each jump of the
                            |    |____                 /  \__      acceleration into a ramp of m ticks
                        ____|                      ___/      \_

A mean of positions that keep position limits keeps them, and so do means of velocities and accelerations: they are
differences of the means. The acceleration changes in a tick by `(a[k] - a[k-m]) / m`, which is at most `2 a_max / m`;
so `m >= 2 a_max / (j_max dt)` keeps the jerk limit. A straight line stays one where all joints share a window.

The price is time: a command comes `(m - 1) / 2` ticks later than without, about `a_max / j_max`. Whoever needs less of
it lowers the acceleration that may be used.
"""

import math
from typing import final

import numpy as np

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.motion_limits import MotionLimits

LONGEST_S = 10.0
"""A window beyond this is no limit that anybody means: commands would come half of it late."""


@final
class JerkFilter:
    """Means over the newest positions, a window a joint. `reset` before the first `apply`.

    Args:
        limits: Of the joints; where none has a jerk limit, what goes in comes out.
        together: One window for all joints, the longest: keeps straight paths straight.

    Raises:
        ConfigError: a jerk limit is so low that commands would come seconds late.
    """

    def __init__(self, limits: MotionLimits, *, together: bool) -> None:
        ticks = [_window(a, j, limits.dt_s) for a, j in zip(limits.max_acceleration, limits.max_jerk, strict=True)]
        if together:
            ticks = [max(ticks)] * len(ticks)
        if max(ticks) * limits.dt_s > LONGEST_S:
            raise ConfigError(
                f"a jerk limit would have commands come {max(ticks) * limits.dt_s / 2:.3g} s late (acceleration limit "
                "over jerk limit): give a higher jerk limit, or a lower safety.acceleration_scale"
            )
        self.ticks = max(ticks)
        """The longest window; 1: nothing is limited."""
        ages = np.arange(self.ticks)[::-1, None]
        self._weights = np.where(ages < np.array(ticks), 1.0 / np.array(ticks), 0.0)
        # Written twice, so that the newest rows always lie side by side.
        self._rows = np.zeros((2 * self.ticks, len(ticks)))
        self._next = 0

    def reset(self, position: FloatArray) -> None:
        """Start from rest at a position `(nu,)`."""
        self._rows[:] = position

    def apply(self, position: FloatArray) -> FloatArray:
        """Mean of the newest positions, this one `(nu,)` among them."""
        if self.ticks == 1:
            return position
        at = self._next
        self._rows[at] = self._rows[at + self.ticks] = position
        self._next = (at + 1) % self.ticks
        window = self._rows[at + 1 : at + 1 + self.ticks]
        # Around the newest: a rest then is one to the bit.
        mean: FloatArray = position + np.einsum("ki,ki->i", self._weights, window - position)
        return mean

    def is_settled(self) -> bool:
        """Whether all positions in the windows are the same: what comes out stands still."""
        return bool((self._rows == self._rows[0]).all())


def _window(acceleration: float, jerk: float, dt_s: float) -> int:
    return 1 if math.isinf(jerk) else max(math.ceil(2.0 * acceleration / (jerk * dt_s) - 1e-9), 1)
