"""Following a target along a straight path: all joints are slowed together, so that the path isn't bent.

Each limit of each joint bounds one number, the share of the way to the target that is to be gone in this tick:

                         velocity limits, room to stop before position limits
                         |
    now ....................................... target

So the wanted velocity points at the target, whatever limits make of its size. It is taken up as far as every joint's
acceleration allows, by one share again: the new velocity lies between the last and the wanted one. On the way from rest
to a target both point along the same line, and no step leaves it. Where a target turns aside in full motion no joint
can turn at once, and the path does so in a curve, in the plane of the line it was on and the way to the target:

    target        o
                 /
               .'       the line, then a curve, then a line
    now ----.-'

Braking together is always possible. With `x = max |v| / (a dt)` over the joints, the velocities `v (1 - k / x)`, k = 1,
2, ... keep every acceleration limit and end at rest; joint `i` travels `|v_i| dt D(x) / x` in it (`D` as in
`dualsys.braking`), which is checked against its room before any step is taken. Braking by one tick leaves `x - 1` and
the rest of the same motion, so it was checked, too: it is what is done where a step doesn't pass the check.
"""

import numpy as np

from dualsys.braking import stopping_steps
from dualsys.messages import FloatArray
from dualsys.motion_limits import FAR, MotionLimits

_TINY, _NOTHING = 1e-200, 1e-100
"""Stand for zero speed and for a demand on acceleration that is none: the formulas then need no cases."""


def braked(limits: MotionLimits, velocity: FloatArray) -> FloatArray:
    """Velocity of the next tick where all joints brake together along the way they are going, `(nu,)`."""
    ticks = float((np.abs(velocity) / limits.step).max())
    return velocity * (1.0 - 1.0 / ticks) if ticks > 1.0 else np.zeros_like(velocity)


def path_velocity(
    limits: MotionLimits, position: FloatArray, velocity: FloatArray, before: FloatArray, target: FloatArray
) -> tuple[FloatArray, bool]:
    """Velocity of the next tick `(nu,)`, and whether velocity limits are what slows it.

    Args:
        limits: Of the joints.
        position: Of the last command.
        velocity: Over the last tick.
        before: Target of the last tick: its own motion is followed.
        target: Target now, within the position limits.
    """
    way = target - position
    whole = way / limits.dt_s
    demand = float((np.abs(whole) / limits.step).max())
    fastest = float((limits.max_velocity / np.maximum(np.abs(whole), _TINY)).min())
    share = min(_share_that_settles(limits, position, before, target, demand), fastest)
    share = min(share, _share_that_can_stop(limits, position, whole))
    change = whole * share - velocity
    taken = min(float((limits.step / np.maximum(np.abs(change), _TINY)).min()), 1.0)
    turned = whole * share if taken == 1.0 else velocity + taken * change
    if taken < 1.0 and _share_that_can_stop(limits, position, turned) < 1.0 - 1e-12:
        return braked(limits, velocity), False
    return turned, share == fastest


def _share_that_can_stop(limits: MotionLimits, position: FloatArray, velocity: FloatArray) -> float:
    """Share of a velocity from which braking together ends before all position limits."""
    speed = np.abs(velocity)
    ticks = float((speed / limits.step).max())
    if ticks < _NOTHING:
        return 1.0
    room = np.maximum(np.where(velocity > 0, limits.upper - position, position - limits.lower), 0.0)
    room = np.where(speed == 0.0, FAR, room)
    left = float((room / (np.maximum(speed, _TINY) * limits.dt_s)).min())
    return min(stopping_steps(ticks * left) / ticks, 1.0)


def _share_that_settles(
    limits: MotionLimits, position: FloatArray, before: FloatArray, target: FloatArray, demand: float
) -> float:
    """Share after which the target can be met without passing it, if it goes on as it went: a wish, not a limit."""
    behind = before - position
    lag = float((np.abs(behind) / (limits.step * limits.dt_s)).max())
    if lag <= 1.0 or demand < _NOTHING:
        return 1.0
    catch_up = stopping_steps(lag) / lag
    weight = 1.0 / limits.step
    way = (target - position) * weight
    following = (target - before) * weight + catch_up * behind * weight
    square = float(way @ way)
    moving = float(following @ way) / square if square > 0.0 else 1.0
    return min(max(moving, stopping_steps(demand) / demand), 1.0)
