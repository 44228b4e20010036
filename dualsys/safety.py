"""The safety gate: what leaves for the robot stays within the limits of the embodiment, whatever comes in.

It stands between the decision core and the robot, apart from every model. It slows a motion down instead of stopping
it, never raises in a tick, and names what it changed.

All of it is one-dimensional, a joint at a time. With `q` the last command, `v` its velocity over the last tick, `a` the
acceleration limit and `dt` the tick: whoever moves at `v` and brakes as hard as allowed, `v - a dt, v - 2 a dt, ...`,
still travels

    D(v) = v dt + (v - a dt) dt + (v - 2 a dt) dt + ...     (terms above 0; the first tick is this one)

so the gate only lets a velocity through for which `D(v) <= d`, the way left to the limit. Then `q + v dt` leaves the
way `d - v dt >= D(v) - v dt = D(v - a dt)`: braking is allowed in the next tick too. Hence the position, the velocity
and the acceleration limit can always be kept together, and none is ever bought with another. (The continuous `v^2 / 2a`
is not enough: a tick is moved before it brakes.)
"""

from dataclasses import replace
from typing import Any, final

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import InvalidObservation
from dualsys.messages import Command, FloatArray
from dualsys.settings import SafetyConfig

_FAR, _FAST = 1e12, 1e18
"""Stand for infinite limits of positions and of their rates: the formulas then need no cases."""
_ROUNDING = 1e-9
"""Relative size of a change that is rounding, not limiting."""


def stopping_velocity(distance: FloatArray, acceleration: FloatArray, dt_s: float) -> FloatArray:
    """Largest velocity of the coming tick from which one can still stop within a distance: the inverse of `D`.

    In units `x = v / (a dt)` and `u = d / (a dt^2)`, with `n` full braking steps, `D` is `(n+1) x - n (n+1) / 2`: lines
    that meet at `u = n (n+1) / 2`. So `n` follows from `u`, and `x` from both.

    Args:
        distance: Way left `(..., nu)`, not below 0.
        acceleration: Limits `(nu,)`, above 0 and finite.
        dt_s: Time of a tick.
    """
    step = acceleration * dt_s
    way = distance / (step * dt_s)
    steps = np.floor((np.sqrt(1.0 + 8.0 * way) - 1.0) / 2.0)
    velocity: FloatArray = (way + steps * (steps + 1.0) / 2.0) / (steps + 1.0) * step
    return velocity


@final
class SafetyGate:
    """Limits targets in position, velocity and acceleration. One a robot; `reset` before the first `apply`.

    Args:
        embodiment: Whose limits hold; joints without one are not limited in it.
        control_dt_s: Time between two calls of `apply`.
        config: Share of the limits that may be used.
    """

    def __init__(self, embodiment: EmbodimentSpec, control_dt_s: float, config: SafetyConfig) -> None:
        self.embodiment = embodiment
        self.config = config
        self.control_dt_s = control_dt_s
        self._lower = np.maximum(embodiment.lower, -_FAR)
        self._upper = np.minimum(embodiment.upper, _FAR)
        self._max_velocity = np.minimum(embodiment.max_velocity * config.velocity_scale, _FAST)
        self._max_acceleration = np.minimum(embodiment.max_acceleration * config.acceleration_scale, _FAST)
        self._step = self._max_acceleration * control_dt_s
        self._position = np.clip(np.zeros(embodiment.num_actions), self._lower, self._upper)
        self._velocity = np.zeros(embodiment.num_actions)
        self._target = self._position

    def reset(self, position: FloatArray) -> None:
        """Start from rest at a pose, which is where the robot really is.

        A joint that starts outside its limits is not thrown in: it only moves inwards, at allowed speed.
        Raises `InvalidObservation` when the pose has the wrong shape or is not finite.
        """
        shape = (self.embodiment.num_actions,)
        if np.shape(position) != shape or not np.all(np.isfinite(position)) or np.any(np.abs(position) > _FAR):
            raise InvalidObservation(
                f"{self.embodiment.name}: the gate cannot start from {position!r}; it takes {shape[0]} finite positions"
            )
        self._position = np.array(position, dtype=np.float64)
        self._velocity = np.zeros(shape)
        self._target = self._position

    def limit(self, command: Command) -> Command:
        """The command with its target limited and what was changed added to `limited`."""
        target, names = self.apply(command.target)
        return replace(command, target=target, limited=command.limited + names)

    def apply(self, target: Any) -> tuple[FloatArray, tuple[str, ...]]:
        """Command for a target, and which limits changed it. Never raises.

        A target that keeps the limits comes out as it went in. One that does not is followed as fast as they allow. A
        target that can't be used (not finite, wrong shape) is replaced by the one before.

        Args:
            target: `(nu,)`, anything.
        """
        names: list[str] = []
        wanted = self._usable(target, names)
        if not self.config.enabled:
            self._position = self._target = wanted
            return wanted.copy(), tuple(names)
        inside = np.minimum(np.maximum(wanted, self._lower), self._upper)
        if (inside != wanted).any():
            names.append("position")
        position = self._step_towards(inside, names)
        self._velocity = (position - self._position) / self.control_dt_s
        self._position, self._target = position, inside
        return position.copy(), tuple(names)

    def _usable(self, target: Any, names: list[str]) -> FloatArray:
        if not isinstance(target, np.ndarray) or target.shape != self._position.shape or target.dtype.kind not in "fiu":
            names.append("finite")
            return self._target.copy()
        usable = np.isfinite(target)
        if not usable.all():
            names.append("finite")
        return np.where(usable, target, self._target).astype(np.float64)

    def _step_towards(self, target: FloatArray, names: list[str]) -> FloatArray:
        """Next position: follow the target's own motion, make up what is behind, keep the limits."""
        dt_s, position = self.control_dt_s, self._position
        feed = (target - self._target) / dt_s
        behind = self._target - position
        ways = np.stack([np.abs(behind), self._upper - position, position - self._lower])
        # One call for three distances: at 29 joints numpy's time is in the calls, not in the numbers.
        to_target, to_upper, to_lower = stopping_velocity(np.maximum(ways, 0.0), self._max_acceleration, dt_s)
        catch_up = np.copysign(to_target, behind)
        wanted = np.minimum(np.maximum(feed, -self._max_velocity), self._max_velocity) + catch_up
        within_speed = np.minimum(np.maximum(wanted, -self._max_velocity), self._max_velocity)
        if _differ(within_speed, feed + catch_up):
            names.append("velocity")
        can_stop = np.minimum(np.maximum(within_speed, -to_lower), to_upper)
        velocity = np.minimum(np.maximum(can_stop, self._velocity - self._step), self._velocity + self._step)
        reached = position + velocity * dt_s
        # Rounding: a target that is met is met to the bit, and a limit is not passed by the last digit.
        rounding = 1e-13 * (1.0 + np.abs(target) + np.abs(position))
        reached = np.where(np.abs(reached - target) <= rounding, target, reached)
        # Being slow to meet a target ahead, so as to stop at it, is the acceleration limit's doing too.
        if _differ(velocity, within_speed) or ("velocity" not in names and _differ(reached, target)):
            names.append("acceleration")
        low, high = np.minimum(self._lower, position), np.maximum(self._upper, position)
        return np.asarray(np.minimum(np.maximum(reached, low), high))


def _differ(one: FloatArray, other: FloatArray) -> bool:
    return bool((np.abs(one - other) > _ROUNDING * (1.0 + np.abs(other))).any())
