"""How fast one may still go where one has to be able to stop: the arithmetic of braking tick by tick.

Whoever moves at `v` and brakes as hard as allowed, `v - a dt, v - 2 a dt, ...`, still travels

    D(v) = v dt + (v - a dt) dt + (v - 2 a dt) dt + ...     (terms above 0; the first tick is this one)

In units `x = v / (a dt)` and `u = d / (a dt^2)`, with `n` full braking steps, `D` is `(n+1) x - n (n+1) / 2`: lines
that meet at `u = n (n+1) / 2`. So `n` follows from `u`, and `x` from both. (The continuous `v^2 / 2a` is not enough: a
tick is moved before it brakes.)
"""

import math

import numpy as np

from dualsys.messages import FloatArray


def stopping_velocity(distance: FloatArray, acceleration: FloatArray, dt_s: float) -> FloatArray:
    """Largest velocity of the coming tick from which one can still stop within a distance: the inverse of `D`.

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


def stopping_steps(way: float) -> float:
    """The same for one number in the units above: `x` for a way `u` not below 0."""
    steps = math.floor((math.sqrt(1.0 + 8.0 * way) - 1.0) / 2.0)
    return (way + steps * (steps + 1.0) / 2.0) / (steps + 1.0)
