"""Where the Panda's two fingers can take hold of an object from above: across its middle, or by its rim."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.libero.shapes import Boxes

OPENING_M = 0.070
"""What fits between the open fingers, with some room."""
PADS_M = 0.0425
"""From the middle to an open finger's pad."""
DEEP_M, SHALLOW_M = 0.035, 0.016
"""How far below the top the pads take hold of a middle, and of a rim."""
FLOOR_M = 0.008
"""Nearest to what an object lies on."""
NEXT = 2
"""Places in the ranking that a failure costs: neighbours are too alike."""
TIGHT_M = 0.004
"""From other things, and the hand would run into them."""
_BAND_M = 0.010
_YAWS = np.linspace(0.0, np.pi, 12, endpoint=False)
_SECTOR = np.cos(0.25)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grasp:
    """Where the point between the finger tips goes, and which way the fingers close."""

    position: FloatArray
    """`(3,)` metres in the world."""
    yaw: float
    """Of the line from finger to finger, about the vertical; a half turn means the same."""


def choose_grasp(held: Boxes, others: Boxes, yaw: float, *, failed: int = 0) -> Grasp | None:
    """The grasp that is furthest from everything else and needs the least turning; None where the hand fits nowhere.

    Args:
        held: Of the object.
        others: Of what the hand may run into.
        yaw: Of the fingers now.
        failed: How many of the better ones were tried in vain.
    """
    points = held.points()
    candidates = list(_across(points)) or list(_by_the_rim(points))
    if not candidates:
        return None
    ranked = sorted(candidates, key=lambda grasp: _cost(grasp, others, yaw))
    return ranked[(failed * NEXT) % len(ranked)]


def turn_between(yaw: float, wanted: float) -> float:
    """Smallest turn (rad) that brings the line between the fingers from one direction into another."""
    return float((wanted - yaw + np.pi / 2) % np.pi - np.pi / 2)


def _across(points: FloatArray) -> Iterator[Grasp]:
    low, high = points[:, 2].min(), points[:, 2].max()
    height = max(high - DEEP_M, low + FLOOR_M)
    band = points[np.abs(points[:, 2] - height) < _BAND_M]
    for yaw in _YAWS if len(band) else ():
        along = np.array([np.cos(yaw), np.sin(yaw)])
        side = np.array([-along[1], along[0]])
        reach, breadth = band[:, :2] @ along, band[:, :2] @ side
        if np.ptp(reach) < OPENING_M:
            middle = along * (reach.min() + reach.max()) / 2 + side * (breadth.min() + breadth.max()) / 2
            yield Grasp(position=np.array([*middle, height]), yaw=float(yaw))


def _by_the_rim(points: FloatArray) -> Iterator[Grasp]:
    low, high = points[:, 2].min(), points[:, 2].max()
    height = max(high - SHALLOW_M, low + FLOOR_M)
    band = points[np.abs(points[:, 2] - height) < _BAND_M][:, :2]
    centre = (band.min(axis=0) + band.max(axis=0)) / 2
    offsets = band - centre
    radii = np.linalg.norm(offsets, axis=1)
    for yaw in (*_YAWS, *(_YAWS + np.pi)):
        outwards = np.array([np.cos(yaw), np.sin(yaw)])
        sector = radii[(offsets @ outwards > _SECTOR * radii) & (radii > 0.5 * radii.max())]
        if len(sector):
            middle = centre + outwards * (sector.min() + sector.max()) / 2
            yield Grasp(position=np.array([*middle, height]), yaw=float(yaw))


def _cost(grasp: Grasp, others: Boxes, yaw: float) -> float:
    clearance = min(others.distance(_hand(grasp)), 0.03)
    return 0.01 * abs(turn_between(yaw, grasp.yaw)) - clearance + float(clearance < TIGHT_M)


def _hand(grasp: Grasp) -> FloatArray:
    """Points on the open fingers and the hand, as they stand around the grasp `(n, 3)`."""
    along = np.array([np.cos(grasp.yaw), np.sin(grasp.yaw), 0.0])
    side = np.array([-along[1], along[0], 0.0])
    up = np.array([0.0, 0.0, 1.0])
    fingers = [
        grasp.position + sign * reach * along + breadth * side + height * up
        for sign in (-1, 1)
        for reach in (PADS_M, PADS_M + 0.012)
        for breadth in (-0.010, 0.010)
        for height in (0.0, 0.02, 0.04)
    ]
    hand = [
        grasp.position + reach * along + breadth * side + height * up
        for reach in np.linspace(-0.105, 0.105, 7)
        for breadth in (-0.035, 0.0, 0.035)
        for height in (0.05, 0.08, 0.12, 0.16)
    ]
    return np.array(fingers + hand)
