"""Following a target along a straight path: all joints are slowed together, so that the path isn't bent.

Each limit of each joint bounds one number, the share of the way to the target that is gone in this tick:

                         velocity limits, room to stop before position limits
                         |
    now ....................................... target
            |        |
            least and most that the acceleration limits allow

Where there is such a share, the step goes towards the target, and as far as it may. Where there is none (the target
jumped aside while the joints were moving, and no joint can turn at once), all joints brake together along the way they
were going, in a straight line too, until there is one. So every step is parallel to the way to the newest target, or to
the step before it, and then no longer than that.

Braking together is always possible. With `x = max |v| / (a dt)` over the joints, the velocities `v (1 - k / x)`, k = 1,
2, ... keep every acceleration limit and end at rest; joint `i` travels `|v_i| dt D(x) / x` in it (`D` as in
`dualsys.braking`), which is checked against its room before any step is taken. Braking by one tick leaves `x - 1` and
the rest of the same motion, so it was checked, too.
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
    wanted = way / limits.dt_s
    speed = np.maximum(np.abs(wanted), _TINY)
    ahead = np.copysign(1.0, wanted)
    demand = float((speed / limits.step).max())
    if demand < _NOTHING:
        return braked(limits, velocity), False
    same = velocity * ahead
    least = max(float(((same - limits.step) / speed).max()), 0.0)
    fastest = float((limits.max_velocity / speed).min())
    room = np.where(wanted > 0, limits.upper - position, position - limits.lower)
    room = np.where(way == 0.0, FAR, np.maximum(room, np.abs(way)))  # the target is within the limits
    can_stop = stopping_steps(demand * float((room / (speed * limits.dt_s)).min())) / demand
    most = min(float(((same + limits.step) / speed).min()), fastest, can_stop, 1.0)
    if least > most:
        return braked(limits, velocity), False
    share = min(max(_share_that_settles(limits, position, before, target, demand), least), most)
    return wanted * share, share == fastest


def _share_that_settles(
    limits: MotionLimits, position: FloatArray, before: FloatArray, target: FloatArray, demand: float
) -> float:
    """Share after which the target can be met without passing it, if it goes on as it went: a wish, not a limit."""
    behind = before - position
    lag = float((np.abs(behind) / (limits.step * limits.dt_s)).max())
    if lag <= 1.0:
        return 1.0
    catch_up = stopping_steps(lag) / lag
    weight = 1.0 / limits.step
    way = (target - position) * weight
    following = (target - before) * weight + catch_up * behind * weight
    square = float(way @ way)
    moving = float(following @ way) / square if square > 0.0 else 1.0
    return min(max(moving, stopping_steps(demand) / demand), 1.0)
