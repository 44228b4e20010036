"""What each hand does next, from how things stand: no clock, no memory, so it goes on from any moment.

A hand that has nothing yet goes above its object, down and around it, and closes. What is then to be brought somewhere
is the object, wherever between the fingers it has come to lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.aloha.hands import CLOSED, OPEN, Hand, facing, turn_between

PICK_PITCH_RAD = np.deg2rad(60.0)
ABOVE_M = np.array([0.0, 0.0, 0.07])
LOWEST_POINT_M = 0.016
"""Height of the grasp point over the table: the fingertips reach 12 mm below it."""
MEETING_M = np.array([0.0, 0.5, 0.25])
"""Where the cube changes hands."""
SOCKET_PLACE_M = np.array([-0.07, 0.5, 0.15])
"""Where the socket is held for the peg."""
HALF_LENGTH_M = 0.06
"""Of peg and socket."""
ALIGNED_M = 0.135
"""From the socket's middle to the peg's before it goes in; their ends meet at 0.12."""
INSERTED_M = 0.09
"""The same with the peg against the pin: it gets no further than 0.10."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thing:
    """An object's pose."""

    point: FloatArray
    """`(3,)` metres: its middle."""
    rotation: FloatArray
    """`(3, 3)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """How things stand."""

    hands: Mapping[str, Hand]
    things: Mapping[str, Thing]
    gripped: Mapping[str, tuple[str, ...]]
    """By side, what is between the fingers."""
    solved: bool


def transfer(moment: Moment) -> dict[str, Hand]:
    """Goals of both hands for `aloha/transfer-cube`."""
    return {"left": _taking(moment), "right": _giving(moment)}


def _giving(moment: Moment) -> Hand:
    hand, cube = moment.hands["right"], moment.things["box"]
    holds = "box" in moment.gripped["right"]
    if "box" in moment.gripped["left"]:
        away = hand.point if holds else MEETING_M + np.array([0.15, 0.0, 0.08])
        return Hand(point=away, rotation=hand.rotation, grip=OPEN)
    if holds:
        rotation = facing("right", pitch_rad=PICK_PITCH_RAD)
        offset = rotation @ hand.rotation.T @ (hand.point - cube.point)
        return Hand(point=MEETING_M + offset, rotation=rotation, grip=CLOSED)
    return _pick("right", hand, cube.point, _lean(cube, np.pi / 2))


def _taking(moment: Moment) -> Hand:
    hand, cube = moment.hands["left"], moment.things["box"]
    flat = facing("left", pitch_rad=0.0, roll_rad=np.pi / 2)
    if "box" in moment.gripped["left"]:
        return Hand(point=MEETING_M + np.array([-0.01, 0.0, 0.0]), rotation=flat, grip=CLOSED)
    if "box" in moment.gripped["right"] and np.linalg.norm(cube.point - MEETING_M) < 0.03:
        return _close_at(hand, cube.point + np.array([-0.01, 0.0, 0.0]), flat)
    return Hand(point=MEETING_M + np.array([-0.12, 0.0, 0.0]), rotation=flat, grip=OPEN)


def insertion(moment: Moment) -> dict[str, Hand]:
    """Goals of both hands for `aloha/insertion`."""
    socket, peg = moment.things["socket"], moment.things["peg"]
    if moment.solved:  # pushed on, one would turn the other out of its hand
        return {side: _still(hand) for side, hand in moment.hands.items()}
    place = Thing(point=SOCKET_PLACE_M, rotation=np.eye(3))
    has_socket, has_peg = "socket" in moment.gripped["left"], "peg" in moment.gripped["right"]
    if has_socket:
        left = _bring(moment.hands["left"], socket, place)
    else:
        left = _pick("left", moment.hands["left"], socket.point - 0.015 * socket.rotation[:, 0], _lean(socket, np.pi))
    if not has_peg:
        point = peg.point + 0.02 * peg.rotation[:, 0]
        return {"left": left, "right": _pick("right", moment.hands["right"], point, _lean(peg, np.pi))}
    is_there = has_socket and float(np.linalg.norm(socket.point - place.point)) < 0.03
    hole = socket if is_there else place
    way: FloatArray = _gap(peg, hole, may_enter=is_there) * hole.rotation[:, 0]
    goal = Thing(point=hole.point + way, rotation=hole.rotation)
    return {"left": left, "right": _bring(moment.hands["right"], peg, goal)}


def _gap(peg: Thing, hole: Thing, *, may_enter: bool) -> float:
    """How far along the hole's axis the peg's middle is to be from the socket's."""
    end = hole.rotation.T @ (peg.point - HALF_LENGTH_M * peg.rotation[:, 0] - hole.point)
    is_in, aside = end[0] < HALF_LENGTH_M, float(np.abs(end[1:]).max())
    turned = float(np.linalg.norm(turn_between(peg.rotation, hole.rotation)))
    may_enter = may_enter and turned < 0.2 and aside < (0.012 if is_in else 0.0075)
    return INSERTED_M if may_enter else ALIGNED_M


def _pick(side: str, hand: Hand, point: FloatArray, yaw_rad: float) -> Hand:
    """Above a point, down to it, and closed."""
    target = np.array([point[0], point[1], max(point[2], LOWEST_POINT_M)])
    rotation = facing(side, pitch_rad=PICK_PITCH_RAD, yaw_rad=yaw_rad)
    off = hand.point - target
    aside, turned = np.linalg.norm(off[:2]), np.linalg.norm(turn_between(hand.rotation, rotation))
    is_around = np.linalg.norm(off) < 0.025
    if is_around or (aside < 0.012 and turned < 0.2 and hand.grip > 0.8):
        return _close_at(hand, target, rotation)
    if off[2] < 0.04 and aside < 0.08:  # beside the object, or closed around nothing: up first
        return Hand(point=np.array([*hand.point[:2], target[2] + ABOVE_M[2]]), rotation=rotation, grip=OPEN)
    return Hand(point=target + ABOVE_M, rotation=rotation, grip=OPEN)


def _close_at(hand: Hand, point: FloatArray, rotation: FloatArray) -> Hand:
    """Go to a point and close there. Fingers that have begun to close go on; those that met nothing open again."""
    reach = 0.008 if hand.grip > 0.8 else 0.025
    is_there = np.linalg.norm(hand.point - point) < reach
    return Hand(point=point, rotation=rotation, grip=CLOSED if is_there and hand.grip > 0.1 else OPEN)


def _bring(hand: Hand, thing: Thing, goal: Thing) -> Hand:
    """Where a closed hand goes, so that what it holds goes to its goal."""
    turn = goal.rotation @ thing.rotation.T
    return Hand(
        point=goal.point + turn @ (hand.point - thing.point),
        rotation=turn @ hand.rotation,
        grip=CLOSED,
    )


def _still(hand: Hand) -> Hand:
    return Hand(point=hand.point, rotation=hand.rotation, grip=CLOSED)


def _lean(thing: Thing, period_rad: float) -> float:
    """How far an object is turned about the vertical, up to the turns that it looks the same after."""
    angle = float(np.arctan2(thing.rotation[1, 0], thing.rotation[0, 0]))
    return (angle + period_rad / 2) % period_rad - period_rad / 2
