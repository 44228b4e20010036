"""The safety gate: what leaves for the robot stays within the limits of the embodiment, whatever comes in.

It stands between the decision core and the robot, apart from every model. It slows a motion down instead of stopping
it, never raises in a tick, and names what it changed.

    target -> finite -> position -> follow (a joint at a time, or along a path) -> clearance -> guard -> jerk -> command

The guard is one-dimensional, a joint at a time. With `q` the last command, `v` its velocity over the last tick, `a` the
acceleration limit and `dt` the tick, it only lets a velocity through for which `D(v) <= d`: the way of braking tick by
tick (`dualsys.braking`) is no longer than the way left to the limit. Then `q + v dt` leaves the way
`d - v dt >= D(v) - v dt = D(v - a dt)`: braking is allowed in the next tick too. Hence the position, the velocity and
the acceleration limit can always be kept together, and none is ever bought with another. Jerk limits are kept by means
over commands that keep all the others (`dualsys.jerk_filter`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

import numpy as np

from dualsys.braking import stopping_velocity
from dualsys.clearance import Clearance, Nearness
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, InvalidObservation, unknown_name
from dualsys.hand_over import HandOver
from dualsys.jerk_filter import JerkFilter
from dualsys.messages import Command, FloatArray
from dualsys.motion_limits import FAR, MotionLimits
from dualsys.path_following import braked, path_velocity
from dualsys.settings import SafetyConfig
from dualsys.tape import Tape

NEAR_S = 0.05
"""A robot is where it was sent if each joint could be there in this time at its velocity limit."""
_ROUNDING = 1e-9
"""Relative size of a change that is rounding, not limiting."""


@final
class SafetyGate:
    """Limits targets in position, velocity, acceleration and jerk. One a robot; `reset` before the first `apply`.

    Args:
        embodiment: Whose limits hold; joints without one are not limited in it.
        control_dt_s: Time between two calls of `apply`.
        config: Share of the limits that may be used, and how they are kept.
        clearance: Tells how near things are; None: nothing does, and `config.clearance_m` means nothing.
        tape: Gets what nearness changed, before the command that it changed.

    Raises:
        ConfigError: a pose of the configuration names a joint that the embodiment lacks.
    """

    def __init__(
        self,
        embodiment: EmbodimentSpec,
        control_dt_s: float,
        config: SafetyConfig,
        clearance: Clearance | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.embodiment = embodiment
        self.config = config
        self.control_dt_s = control_dt_s
        self.limits = MotionLimits.of(embodiment, control_dt_s, config)
        self._rates = embodiment.velocities if embodiment.velocities.any() else None
        """Commands that are velocities: at rest they are zero."""
        keep_m = config.clearance_m
        self.nearness = Nearness(clearance if keep_m is not None else None, keep_m or 0.0, tape)
        """How near things are; a replay tells it what its tape knows."""
        self._parking: bool
        self._hold_pose = _pose(embodiment, config.hold_pose)
        self._damp_pose = _pose(embodiment, config.damp_pose)
        self._hand_over = HandOver(self.limits, config.handover_s)
        self._easing = JerkFilter(self.limits, together=config.follow == "path")
        self._start(np.clip(np.zeros(embodiment.num_actions), self.limits.lower, self.limits.upper))

    def reset(self, position: FloatArray) -> None:
        """Start from rest at a pose, which is where the robot really is.

        A joint that starts outside its limits is not thrown in: it only moves inwards, at allowed speed.
        Raises `InvalidObservation` when the pose has the wrong shape or is not finite.
        """
        shape = (self.embodiment.num_actions,)
        if np.shape(position) != shape or not np.all(np.isfinite(position)) or np.any(np.abs(position) > FAR):
            raise InvalidObservation(
                f"{self.embodiment.name}: the gate cannot start from {position!r}; it takes {shape[0]} finite positions"
            )
        self._start(np.array(position, dtype=np.float64))

    def resume(self, position: FloatArray) -> FloatArray:
        """Go on after a stop; the position `(nu,)` that motion starts from.

        A robot that still is where it was sent (`NEAR_S`) goes on from what was last sent, without a bump; one that
        was moved or has sagged starts from where it is. Raises `InvalidObservation` as `reset` does.
        """
        near = np.shape(position) == self._sent.shape and np.all(
            np.abs(position - self._sent) <= NEAR_S * self.limits.max_velocity
        )
        if not near:
            self.reset(position)
        self._hand_over.begin_anew()
        return self._sent.copy()

    @property
    def at_rest(self) -> bool:
        """Whether the last command repeated the one before, and the next may, too."""
        return not self._velocity.any() and self._easing.is_settled()

    def limit(self, command: Command) -> Command:
        """The command with its target limited and what was changed added to `limited`.

        `damp` and `stop` commands bring the motion to rest, wherever their target is. Where another source begins to
        command, it does so from what was last sent.
        """
        parks = self._hold_pose is not None and command.source == "hold" and "stale" in command.limited
        if not parks and self._hand_over.begins(command, self._position, self._velocity):
            self._target = self._position
        if command.source == "stop":
            target, names = self.brake()
        elif command.source == "damp":
            target, names = self._damp()
        elif parks:
            target, names = self._go_to(self._hold_pose)
        else:
            target, names = self.apply(self._hand_over.apply(command))
        if command.source != "damp":
            self._parking = False
        return replace(command, target=target, limited=command.limited + names)

    def apply(self, target: Any) -> tuple[FloatArray, tuple[str, ...]]:
        """Command for a target, and which limits changed it. Never raises.

        A target that keeps the limits comes out as it went in (later, where there are jerk limits). One that does not
        is followed as fast as they allow. A target that can't be used (not finite, wrong shape) is replaced by the one
        before.

        Args:
            target: `(nu,)`, anything.
        """
        names: list[str] = []
        wanted = self._usable(target, names)
        if not self.config.enabled:
            self._position = self._target = self._sent = wanted
            return wanted.copy(), tuple(names)
        inside = np.minimum(np.maximum(wanted, self.limits.lower), self.limits.upper)
        if (inside != wanted).any():
            names.append("position")
        return self._send(self._step_towards(inside, names), inside, names)

    def brake(self) -> tuple[FloatArray, tuple[str, ...]]:
        """Command that brings the motion to rest within the limits, and keeps it there. Never raises."""
        if not self.config.enabled:
            self._position = self._target = self._sent = self._with_rates_zero(self._sent)
            return self._sent.copy(), ()
        room = stopping_velocity(self._room(self._position), self.limits.max_acceleration, self.control_dt_s)
        reached = self._guarded(self._slower(), room, [])
        if self._rates is not None:
            reached = np.where(self._rates & (np.abs(reached) < _ROUNDING), 0.0, reached)
        return self._send(reached, reached, [])

    def _start(self, position: FloatArray) -> None:
        self._position = self._target = self._sent = position
        self._velocity: FloatArray = np.zeros(position.shape)
        self._parking = False
        self._hand_over.reset()
        self._easing.reset(position)
        self.nearness.reset(position)

    def _damp(self) -> tuple[FloatArray, tuple[str, ...]]:
        if self._damp_pose is not None and self.at_rest:
            self._parking = True
        return self._go_to(self._damp_pose) if self._parking else self.brake()

    def _go_to(self, pose: FloatArray | None) -> tuple[FloatArray, tuple[str, ...]]:
        """Go on to a pose; joints that it says nothing about stay where they were last aimed at."""
        self._hand_over.leave()
        return self.apply(self._target if pose is None else np.where(np.isnan(pose), self._target, pose))

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
        dt_s, position, most = self.control_dt_s, self._position, self.limits.max_velocity
        behind = self._target - position
        # One call for three distances: at 29 joints numpy's time is in the calls, not in the numbers.
        ways = np.concatenate([np.abs(behind)[None], self._room(position)])
        to_target, *room = stopping_velocity(ways, self.limits.max_acceleration, dt_s)
        if self.config.follow == "path":
            within_speed, too_fast = path_velocity(self.limits, position, self._velocity, self._target, target)
        else:
            feed = (target - self._target) / dt_s
            catch_up = np.copysign(to_target, behind)
            wanted = np.minimum(np.maximum(feed, -most), most) + catch_up
            within_speed = np.minimum(np.maximum(wanted, -most), most)
            too_fast = _differ(within_speed, feed + catch_up)
        if too_fast:
            names.append("velocity")
        clear = self._keep_clear(within_speed, names)
        reached = self._guarded(clear, room, names)
        # Rounding: a target that is met is met to the bit.
        rounding = 1e-13 * (1.0 + np.abs(target) + np.abs(position))
        reached = np.where(np.abs(reached - target) <= rounding, target, reached)
        # Being slow to meet a target ahead, so as to stop at it, is the acceleration limit's doing too.
        if not {"velocity", "clearance", "acceleration"}.intersection(names) and _differ(reached, target):
            names.append("acceleration")
        return reached

    def _guarded(self, wanted: FloatArray, room: Any, names: list[str]) -> FloatArray:
        """Position after a tick at a velocity, or at the nearest that limits allow: the proof at the module's head."""
        position, limits = self._position, self.limits
        to_upper, to_lower = room
        can_stop = np.minimum(np.maximum(wanted, -to_lower), to_upper)
        velocity = np.minimum(np.maximum(can_stop, self._velocity - limits.step), self._velocity + limits.step)
        if _differ(velocity, wanted):
            names.append("acceleration")
        # Rounding: a limit is not passed by the last digit.
        low, high = np.minimum(limits.lower, position), np.maximum(limits.upper, position)
        return np.asarray(np.minimum(np.maximum(position + velocity * self.control_dt_s, low), high))

    def _room(self, position: FloatArray) -> FloatArray:
        """Ways left to the upper and the lower limits `(2, nu)`."""
        ways: FloatArray = np.maximum(np.stack([self.limits.upper - position, position - self.limits.lower]), 0.0)
        return ways

    def _slower(self) -> FloatArray:
        """Velocity of the next tick where the motion is braked as hard as allowed."""
        limits = self.limits
        if self.config.follow == "path":
            slower = braked(limits, self._velocity)
        else:
            slower = self._velocity - np.minimum(np.maximum(self._velocity, -limits.step), limits.step)
        if self._rates is None:
            return slower
        way = stopping_velocity(np.abs(self._position), limits.max_acceleration, self.control_dt_s)
        return np.where(self._rates, np.copysign(np.minimum(way, limits.max_velocity), -self._position), slower)

    def _with_rates_zero(self, position: FloatArray) -> FloatArray:
        return position.copy() if self._rates is None else np.where(self._rates, 0.0, position)

    def _keep_clear(self, velocity: FloatArray, names: list[str]) -> FloatArray:
        """The velocity, or as much of it as leaves room to stop before what is near."""
        if not self.nearness.is_known:
            return velocity
        ticks = float((np.abs(velocity) / self.limits.step).max())
        share = self.nearness.share(self._position + velocity * self.control_dt_s, ticks)
        if share == 1.0:
            return velocity
        names.append("clearance")
        if np.isnan(share):
            return self._slower()
        slower = velocity * share
        turning = np.abs(slower - self._velocity) > self.limits.step * (1.0 + _ROUNDING)
        return self._slower() if turning.any() else slower

    def _send(self, position: FloatArray, target: FloatArray, names: list[str]) -> tuple[FloatArray, tuple[str, ...]]:
        self._velocity = (position - self._position) / self.control_dt_s
        self._position, self._target = position, target
        self.nearness.reached(position)
        sent = self._easing.apply(position)
        if sent is not position:
            low, high = np.minimum(self.limits.lower, self._sent), np.maximum(self.limits.upper, self._sent)
            sent = np.minimum(np.maximum(sent, low), high)
            if _differ(sent, position):
                names.append("jerk")
        self._sent = sent
        return sent.copy(), tuple(names)


def _pose(embodiment: EmbodimentSpec, positions: Mapping[str, float]) -> FloatArray | None:
    """Positions `(nu,)` by joint's name, NaN for joints without one; None where none has one."""
    order = {joint.name: index for index, joint in enumerate(embodiment.joints)}
    pose = np.where(embodiment.velocities, 0.0, np.nan)
    for name, position in positions.items():
        if name not in order:
            raise ConfigError(f"a pose of the safety gate: {unknown_name('joint', name, order)}")
        pose[order[name]] = position
    return pose if positions else None


def _differ(one: FloatArray, other: FloatArray) -> bool:
    return bool((np.abs(one - other) > _ROUNDING * (1.0 + np.abs(other))).any())
