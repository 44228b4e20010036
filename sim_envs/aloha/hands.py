"""Where hands are to go: a point between the fingertips, how the hand is turned about it, and how far it is open."""

from dataclasses import dataclass

import numpy as np

from dualsys.messages import FloatArray

GRASP_POINT_M = np.array([0.14, 0.0, 0.0])
"""The point between the fingertips that goes around an object, in the frame of `vx300s_<side>/gripper_link`."""
OPEN, CLOSED = 1.0, 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hand:
    """Where a hand is, or is to be."""

    point: FloatArray
    """`(3,)` metres in the world: the grasp point."""
    rotation: FloatArray
    """`(3, 3)`: its columns are the hand's forward, the way the fingers close, and its up."""
    grip: float
    """0 closed, 1 open."""


def facing(side: str, *, pitch_rad: float, yaw_rad: float = 0.0, roll_rad: float = 0.0) -> FloatArray:
    """Rotation `(3, 3)` of a hand that points away from its own arm's foot, `pitch_rad` below the horizontal."""
    outward = 1.0 if side == "left" else -1.0
    forward = np.array([outward * np.cos(pitch_rad), 0.0, -np.sin(pitch_rad)])
    across = np.array([0.0, outward, 0.0])
    upright = np.stack([forward, across, np.cross(forward, across)], axis=1)
    rolled: FloatArray = upright @ about(np.array([1.0, 0.0, 0.0]), roll_rad)
    return about(np.array([0.0, 0.0, 1.0]), yaw_rad) @ rolled


def about(axis: FloatArray, angle_rad: float) -> FloatArray:
    """Matrix of a turn about a unit vector."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: FloatArray = np.eye(3) + np.sin(angle_rad) * cross + (1.0 - np.cos(angle_rad)) * cross @ cross
    return matrix


def turn_between(start: FloatArray, end: FloatArray) -> FloatArray:
    """The turn `(3,)` from one rotation to another, axis times angle in radians, in the world."""
    missing = end @ start.T
    angle = float(np.arccos(np.clip((np.trace(missing) - 1.0) / 2.0, -1.0, 1.0)))
    axis = np.array([missing[2, 1] - missing[1, 2], missing[0, 2] - missing[2, 0], missing[1, 0] - missing[0, 1]])
    length = float(np.linalg.norm(axis))
    return np.zeros(3) if length < 1e-9 else axis * (angle / length)
