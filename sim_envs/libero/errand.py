"""One object, picked up and put where a fact of the goal wants it: a plan, and the way through it."""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.libero.grasp import Grasp, choose_grasp, turn_between
from dualsys.sim_envs.libero.placement import highest_on_the_way, placement_for
from dualsys.sim_envs.libero.shapes import boxes_of, shapes_of
from dualsys.sim_envs.libero.tasks import Fact

Phase = Literal["over", "down", "close", "up", "carry", "lower", "open", "leave", "done"]
OPEN, CLOSED = -1.0, 1.0
GAIN = 1.8
"""Of the way that is left, what is asked for at once: at 1 the hand creeps, beyond 2 it overshoots."""
STEP_M, STEP_RAD = 0.05, 0.5
"""What an action of 1 means."""
NEAR_M, NEAR_RAD = 0.007, 0.06
ROOM_M, CARRY_ROOM_M = 0.03, 0.05
"""Above what is passed over, without and with something in the hand, which may hang askew."""
RISE_M = 0.07
"""Least that an object is lifted."""
LIFTED_M = 0.02
"""An object that has risen less was not taken hold of."""
WAITS = {"close": 12, "open": 8}
"""Steps that the fingers need."""
PATIENCE = {"over": 20, "down": 5, "up": 8, "carry": 20, "lower": 5, "leave": 8}
"""Steps without getting on, after which the hand has come as far as it can."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hand:
    """Where the gripper is."""

    position: FloatArray
    """Between the finger tips `(3,)`."""
    down: FloatArray
    """Which way it points `(3,)`."""
    yaw: float
    """Of the line from finger to finger, about the vertical."""

    @classmethod
    def of(cls, data: Any) -> "Hand":
        """Now."""
        site = data.site("gripper0_grip_site")
        between = data.body("gripper0_leftfinger").xpos - data.body("gripper0_rightfinger").xpos
        return cls(
            position=np.array(site.xpos),
            down=np.array(site.xmat).reshape(3, 3)[:, 2],
            yaw=float(np.arctan2(between[1], between[0])),
        )


@final
class Errand:
    """What was planned, and how far it has come."""

    def __init__(self, *, body: int, grasp: Grasp, place: FloatArray, fly_z: float, carry_z: float) -> None:
        """Of an object's body; heights are the hand's, over everything on its way there and from there."""
        self._body, self._grasp, self._place = body, grasp, place
        self._fly_z, self._carry_z = fly_z, carry_z
        self._phase: Phase = "over"
        self._steps = self._stalled = 0
        self._best = float("inf")
        self._held = np.zeros(3)
        self._low_z = 0.0

    @classmethod
    def plan(cls, model: Any, data: Any, fact: Fact, *, failed: int = 0) -> "Errand | None":
        """For a fact of the goal, from where all things are now, after so many errands for it that came to nothing.

        None where the hand fits nowhere.
        """
        hand = Hand.of(data)
        body = int(model.body(f"{fact.thing}_main").id)
        held = boxes_of(model, data, shapes_of(model, body))
        others = boxes_of(model, data, _shapes_of_others(model, body))
        grasp = choose_grasp(held, others, hand.yaw, failed=failed)
        if grasp is None:
            return None
        below = float(grasp.position[2] - held.points()[:, 2].min())
        place = placement_for(model, data, fact, below)
        over = highest_on_the_way(others, hand.position, grasp.position)
        along = highest_on_the_way(others, grasp.position, place)
        return cls(
            body=body,
            grasp=grasp,
            place=place,
            fly_z=max(over + ROOM_M, float(grasp.position[2]) + RISE_M),
            carry_z=max(along + below + CARRY_ROOM_M, float(max(grasp.position[2], place[2])) + RISE_M),
        )

    @property
    def done(self) -> bool:
        """Whether it is over, well or not."""
        return self._phase == "done"

    def act(self, data: Any) -> FloatArray:
        """Actions `(7,)` for the next step."""
        hand = Hand.of(data)
        away = self._goal(hand) - hand.position
        turn = turn_between(hand.yaw, self._grasp.yaw)
        self._go_on(data, hand, away, turn)
        gripper = CLOSED if self._phase in ("close", "up", "carry", "lower") else OPEN
        upright = np.cross(hand.down, [0.0, 0.0, -1.0])
        move = np.clip(GAIN * away / STEP_M, -1.0, 1.0)
        rotate = np.clip((upright + np.array([0.0, 0.0, turn])) / STEP_RAD, -1.0, 1.0)
        return np.array([*move, *rotate, gripper])

    def _goal(self, hand: Hand) -> FloatArray:
        """Where the point between the finger tips is to go in this phase."""
        grasp, place = self._grasp.position, self._place
        match self._phase:
            case "over":
                above = np.array([grasp[0], grasp[1], self._fly_z])
                return above if hand.position[2] > self._fly_z - ROOM_M else np.array([*hand.position[:2], self._fly_z])
            case "down" | "close":
                return grasp
            case "up":
                return np.array([grasp[0], grasp[1], self._carry_z])
            case "carry":
                return np.array([*(place[:2] + self._held[:2]), self._carry_z])
            case "lower" | "open":
                return np.array([*(place[:2] + self._held[:2]), place[2]])
        return np.array([*(place[:2] + self._held[:2]), place[2] + RISE_M])

    def _go_on(self, data: Any, hand: Hand, away: FloatArray, turn: float) -> None:
        """On to the next phase where this one has come to its end."""
        self._steps += 1
        if (wait := WAITS.get(self._phase)) is not None:
            if self._steps >= wait:
                self._begin("up" if self._phase == "close" else "leave")
            return
        left = float(np.linalg.norm(away)) + 0.1 * abs(turn)
        self._stalled = 0 if left < self._best - 5e-4 else self._stalled + 1
        self._best = min(self._best, left)
        arrived = bool(np.linalg.norm(away) < NEAR_M) and abs(turn) < NEAR_RAD
        passing = self._phase in ("up", "leave") and abs(away[2]) < ROOM_M
        if not (arrived or passing or self._stalled >= PATIENCE[self._phase]):
            return
        self._arrive(data, hand)

    def _arrive(self, data: Any, hand: Hand) -> None:
        position = np.array(data.xpos[self._body])
        match self._phase:
            case "over":
                self._low_z = float(position[2])
                self._begin("down")
            case "down":
                self._begin("close")
            case "up":
                self._held = hand.position - position
                self._begin("carry" if position[2] > self._low_z + LIFTED_M else "leave")
            case "carry":
                self._held = hand.position - position
                self._begin("lower")
            case "lower":
                self._begin("open")
            case _:
                self._begin("done")

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        self._steps = self._stalled = 0
        self._best = float("inf")


def _shapes_of_others(model: Any, body: int) -> list[int]:
    """Of all that lies and stands about; the robot, floor and table are nothing that is run into from above."""
    own = set(shapes_of(model, body))
    shapes = []
    for other in range(1, model.nbody):
        name = model.body(other).name
        if int(model.body_parentid[other]) == 0 and name.endswith("_main") and "table" not in name:
            shapes += [geom for geom in shapes_of(model, other) if geom not in own]
    return shapes
