"""Bumpless hand-over: whoever commands next begins from what was last sent, and blends to its own.

    old motion, braking to rest     ----.___________________
    what is sent                    ----.__
                                           `-.
                                              `--.________     from the end of the blend on it is the new source's own
    the new source's own            ______________________

The old motion goes on from the last position and velocity and brakes at half the acceleration limit; the blend's share
rises from 0 to 1 as a minimum-jerk curve (Flash and Hogan, J. Neurosci. 5 (1985)), whose first and second derivatives
vanish at both ends. So position, velocity and acceleration go on smoothly at the switch, wherever the new source is and
however it moves, and nothing is left of the old one at the end. It lasts `handover_s`, and longer where the way is so
long that the curve would ask for more than the velocity limits, or more than the other half of the acceleration.

Between commands of one source nothing is changed, to the bit.
"""

import math
from typing import Literal, final

import numpy as np

from dualsys.chunking import is_vector
from dualsys.events import SourceName
from dualsys.messages import Command, CommandSource, FloatArray
from dualsys.motion_limits import FAST, MotionLimits

_PEAK_VELOCITY = 1.875
_PEAK_ACCELERATION = 10.0 / 3.0**0.5
"""Largest slope and curvature of the minimum-jerk curve from 0 to 1 in unit time."""

_WHO: dict[CommandSource, SourceName | Literal["policy"]] = {
    "actor": "policy", "teleoperation": "teleoperation", "pose": "pose", "controller": "controller",
}  # fmt: skip
"""Who moves the robot, by where a command comes from; the others let it rest."""


@final
class HandOver:
    """Follows who commands, and blends where that changes. `reset` before the first `apply`.

    Args:
        limits: Of the joints.
        handover_s: How long a blend lasts at least; 0: there are none.
    """

    def __init__(self, limits: MotionLimits, handover_s: float) -> None:
        self._limits = limits
        self._handover_s = handover_s
        self.reset()

    def reset(self) -> None:
        """A new start, from rest at the pose where the robot is: the policy begins, without a blend."""
        self._holder: str = "policy"
        self._due = self._left = False
        self._began_s: float | None = None

    def begin_anew(self) -> None:
        """Whoever moves the robot next, the same as before or not, begins from what is sent by then."""
        self._due, self._left = True, False
        self._began_s = None

    def leave(self) -> None:
        """The robot goes to a pose of the gate's own: whatever it is sent next, it comes to it from there."""
        self._due = self._left = True
        self._began_s = None

    def begins(self, command: Command, position: FloatArray, velocity: FloatArray) -> bool:
        """Note a command that is to be sent; whether a hand-over begins with it.

        Args:
            command: As decided.
            position: Last one sent `(nu,)`.
            velocity: Over the last tick `(nu,)`.
        """
        who = _WHO.get(command.source)
        if who is None:
            # Who comes back after a rest may be anywhere. The policy is not: its chunks go on from where it is.
            self._due = self._due or self._holder != "policy"
            if not self._left or command.source in ("damp", "stop"):
                return False
        elif who == self._holder and not self._due:
            return False
        if not is_vector(command.target, len(position)):
            return False  # the gate goes on to the target before; the next one begins
        if who is not None:
            self._holder, self._due = who, False
        self._left = False
        if self._handover_s == 0.0:
            return False
        self._began_s = command.stamp_s - self._limits.dt_s
        self._position, self._velocity = position, velocity
        self._duration_s = self._time_for(np.abs(command.target - self._braking(np.inf)))
        return True

    def apply(self, command: Command) -> FloatArray:
        """Target to be sent for a command `(nu,)`: its own, or where the blend is."""
        if self._began_s is None or not is_vector(command.target, len(self._position)):
            return command.target
        passed_s = command.stamp_s - self._began_s
        share = passed_s / self._duration_s
        if share >= 1.0:
            self._began_s = None
            return command.target
        share = max(share, 0.0)
        eased = share**3 * (10.0 + share * (6.0 * share - 15.0))
        old = self._braking(max(passed_s, 0.0))
        return np.asarray(old + eased * (command.target - old))

    def _braking(self, passed_s: float) -> FloatArray:
        """Where the old motion would be after a time, if it had braked `(nu,)`."""
        half = 0.5 * np.minimum(self._limits.max_acceleration, FAST)
        speed = np.abs(self._velocity)
        moving_s = np.minimum(passed_s, speed / half)
        way: FloatArray = (speed - 0.5 * half * moving_s) * moving_s
        return np.asarray(self._position + np.copysign(way, self._velocity))

    def _time_for(self, way: FloatArray) -> float:
        """Time of a blend over a way `(nu,)` within the limits."""
        limits = self._limits
        for_velocity = float((_PEAK_VELOCITY * way / limits.max_velocity).max(initial=0.0))
        for_acceleration = math.sqrt((_PEAK_ACCELERATION * way / (0.5 * limits.max_acceleration)).max(initial=0.0))
        return max(self._handover_s, for_velocity, for_acceleration)
