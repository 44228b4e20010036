"""Keeping clear of what is around: how near the robot is to things, and how fast it may then go nearer.

What is near is somebody else's knowledge (a model of the robot; `dualsys.sim_envs.clearance` has MuJoCo's). Here stands
what the safety gate makes of it.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from dualsys.braking import stopping_steps
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.settings import SafetyConfig

_ROUNDING_M = 1e-9
"""Approach in a tick that is none."""


@runtime_checkable
class Clearance(Protocol):
    """Tells how near commanded joint positions bring a robot to itself and to what is around it."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each distance is of, such as `left arm / table`."""
        ...

    def distances(self, position: FloatArray) -> FloatArray:
        """Signed distances `(len(names),)` in metres at joint positions `(nu,)`, below 0 inside each other.

        What is further away than it looks may be given as that range. Called once or twice in a tick.
        """
        ...


def share_that_can_stop(now_m: FloatArray, then_m: FloatArray, keep_m: float, ticks_to_brake: float) -> float:
    """Share, 0 to 1, of a step after which one can still stop `keep_m` away from everything.

    As far as distances change evenly with the step: they are looked at anew in every tick, so the error is that of the
    last ticks before the stop. A step that goes away from something is not limited by it, however near it is.

    Args:
        now_m: Distances before the step.
        then_m: Distances after the whole step.
        keep_m: Distance that is to be kept.
        ticks_to_brake: How many ticks braking from the whole step takes, not rounded (`x` in `dualsys.braking`).
    """
    nearer = now_m - then_m
    approaching = nearer > _ROUNDING_M
    if ticks_to_brake <= 0.0 or not approaching.any():
        return 1.0
    ticks_left = float((np.maximum(now_m - keep_m, 0.0)[approaching] / nearer[approaching]).min())
    return min(stopping_steps(ticks_left * ticks_to_brake) / ticks_to_brake, 1.0)


def clearance_of(environment: Any, config: SafetyConfig) -> Clearance | None:
    """What an environment tells about nearness, where the configuration asks for it.

    Raises `ConfigError` where it is asked for and the environment has no `clearance()`.
    """
    if config.clearance_m is None:
        return None
    if not hasattr(environment, "clearance"):
        raise ConfigError(
            f"safety.clearance_m is {config.clearance_m:g}, but {type(environment).__name__} has no clearance() to "
            "tell how near things are; leave clearance_m out, or take a task of the humanoid suite"
        )
    clearance: Clearance = environment.clearance()
    return clearance
