"""Keeping clear of what is around: how near the robot is to things, and how fast it may then go nearer.

What is near is somebody else's knowledge (a model of the robot; `dualsys.sim_envs.clearance` has MuJoCo's). Here stands
what the safety gate makes of it.
"""

import inspect
import math
from collections.abc import Sequence
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from dualsys.braking import stopping_steps
from dualsys.errors import ConfigError
from dualsys.events import KeptClear
from dualsys.messages import FloatArray
from dualsys.settings import SafetyConfig
from dualsys.tape import Tape
from dualsys.workspace_box import WorkspaceBox

Boxes = Sequence[WorkspaceBox]
"""Borders of the workspace, as an environment's `clearance` takes them."""
_ROUNDING_M = 1e-9
"""Approach in a tick that is none."""
_SAME_PLACE = 1e-9
"""Radians or metres between two places that are one."""


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


@final
class Nearness:
    """What the gate makes of a clearance, tick by tick: how much of its next step may be done.

    Args:
        clearance: Tells how near things are; None: nothing does, and all steps may be done.
        keep_m: Distance that is to be kept.
        tape: Gets every share below 1, so that a replay needs no model of the robot.
    """

    def __init__(self, clearance: Clearance | None, keep_m: float, tape: Tape | None) -> None:
        self._clearance, self._keep_m, self._tape = clearance, keep_m, tape
        self._near: FloatArray | None = None
        self._looked: tuple[FloatArray | None, FloatArray | None] = (None, None)
        """Where was looked in this tick, and what was seen there."""
        self._told: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is anything to ask `share` for."""
        return self._clearance is not None or self._told is not None

    def reset(self, position: FloatArray) -> None:
        """The motion starts at a position `(nu,)`."""
        self._near, self._looked = self._distances(position), (None, None)

    def tell(self, share: float | None) -> None:
        """Of a replay: the share of the next step, from the tape; None: it was done as a whole, or there was none."""
        self._told = share

    def share(self, ahead: FloatArray, ticks_to_brake: float) -> float:
        """Share, 0 to 1, of the step to `ahead` `(nu,)` that may be done; NaN where the clearance fails."""
        if self._told is not None:
            return self._told
        if self._clearance is None:
            return 1.0
        now, then = self._near, self._distances(ahead)
        self._looked = (ahead, then)
        share = math.nan
        if now is not None and then is not None:
            share = share_that_can_stop(now, then, self._keep_m, ticks_to_brake)
        if share != 1.0 and self._tape is not None:
            self._tape.add(KeptClear(share=share))
        return share

    def reached(self, position: FloatArray) -> None:
        """The motion is at a position `(nu,)` now."""
        ahead, then = self._looked
        same = ahead is not None and np.abs(position - ahead).max() < _SAME_PLACE
        self._near = then if same else self._distances(position)

    def _distances(self, position: FloatArray) -> FloatArray | None:
        """What is near at a position; None where the one who should know fails, which brakes the motion."""
        if self._clearance is None:
            return None
        try:
            distances = np.asarray(self._clearance.distances(position), dtype=np.float64)
        except Exception:  # anybody's code, in a tick: the motion is braked, and `limited` says why
            return None
        return distances if np.isfinite(distances).all() else None


def clearance_of(environment: Any, config: SafetyConfig) -> Clearance | None:
    """What an environment tells about nearness, where the configuration asks for it.

    Raises `ConfigError` where it is asked for and the environment has no `clearance()`, or where that takes no boxes or
    knows no such body.
    """
    if config.clearance_m is None:
        return None
    if not hasattr(environment, "clearance"):
        raise ConfigError(
            f"safety.clearance_m is {config.clearance_m:g}, but {type(environment).__name__} has no clearance() to "
            "tell how near things are; leave clearance_m out, or take a task of the humanoid suite"
        )
    if not config.workspace:
        clearance: Clearance = environment.clearance()
        return clearance
    if not inspect.signature(environment.clearance).parameters:
        raise ConfigError(
            f"safety.workspace has boxes, but {type(environment).__name__}.clearance() takes none; leave workspace "
            "out, or take a task of the humanoid suite"
        )
    within: Clearance = environment.clearance(config.workspace)
    return within
