"""The motion of a hand that picks up a block: around it from above, close, straight up.

Like the touch, it is a function of the present moment and keeps nothing in mind: where the hand is over the table, how
far it is closed and whether the block is between its fingers say what comes next. So it starts anywhere, and after a
miss it opens, rises and tries again.

    open, off the axis    level at a height from which the hand clears every block, then down when over the block
    open, around it       close
    closed on it          straight up, and stay there
    closed on nothing     up, and open on the way
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import Side
from dualsys.sim_envs.humanoid.kinematics import ArmKinematics, grasp
from dualsys.sim_envs.humanoid.robot import CLOSED_HAND, OPEN_HAND
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M

GRIP_M = 0.032
"""Height of the grasp point above the block's centre when the hand closes."""
HOVER_M = 0.14
"""Height above that on the way: fingers and palm clear the blocks by 2 cm."""
LIFT_M = 0.13
"""How far up a block is taken."""
FUNNEL_OUTER_M, FUNNEL_INNER_M = 0.035, 0.008
"""Distances from the block's axis between which the wanted height goes from hovering to gripping."""
REACHED_M = 0.012
"""Distance, level and in height, at which the hand begins to close."""
LOST_M = 0.045
"""Distance of the grasp point from the block's axis at which a closing hand gives up."""
CRUISE_M_S = 0.22
CLIMB_M_S = 0.20
APPROACH_PER_S = 5.0
"""Speed per distance near the goal."""
BEGUN, SHUT = 0.1, 0.9
"""Shares of the way from open to closed: a hand that has begun to close, one whose fingers have all pressed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PickMoment:
    """What the motion depends on."""

    arm: FloatArray
    """Commanded arm joints `(7,)`."""
    hand: FloatArray
    """Commanded finger joints `(7,)`."""
    block: FloatArray
    """Centre of the block `(3,)`."""
    gripped: bool
    """Whether the block is between thumb and fingers."""


class PickMotion:
    """Where one arm and its hand are to go so that the hand lifts a block."""

    def __init__(self, model: Any, side: Side) -> None:
        self._kinematics = ArmKinematics(model, side, grasp(side))
        self._open, self._closed = OPEN_HAND[side], CLOSED_HAND[side]

    def next_posture(self, moment: PickMoment) -> tuple[FloatArray, FloatArray]:
        """Arm joints `(7,)` a lead time ahead, and the finger joints `(7,)` to go for."""
        point = self._kinematics.point(moment.arm)
        velocity, closing = pick_field(point, moment.block, self.closure(moment.hand), moment.gripped)
        arm = self._kinematics.posture_ahead(moment.arm, point, velocity)
        return arm, self._closed if closing else self._open

    def closure(self, hand: FloatArray) -> float:
        """How far a hand `(7,)` is closed: 0 open, 1 closed, more for a fist."""
        way = self._closed - self._open
        return float((hand - self._open) @ way / (way @ way))


def pick_field(point: FloatArray, block: FloatArray, closure: float, gripped: bool) -> tuple[FloatArray, bool]:
    """Wanted velocity `(3,)` in m/s of the grasp point, and whether the fingers are to close."""
    offset = block[:2] - point[:2]
    distance = float(np.hypot(*offset))
    grip_height = block[2] + GRIP_M
    low = point[2] < grip_height + REACHED_M
    airborne = block[2] > BLOCK_REST_M + 0.01 and distance < LOST_M
    if (gripped or airborne) and closure > SHUT:
        return _level_and_climb(np.zeros(2), BLOCK_REST_M + GRIP_M + LIFT_M - point[2]), True
    if closure > BEGUN and low and distance < LOST_M and closure < 1.1:
        missed = closure > 0.98 and not gripped
        return np.zeros(3), not missed
    if distance < REACHED_M and low:
        return np.zeros(3), True
    over = float(np.clip((FUNNEL_OUTER_M - distance) / (FUNNEL_OUTER_M - FUNNEL_INNER_M), 0.0, 1.0))
    over = over * over * (3.0 - 2.0 * over) if closure < 2 * BEGUN else 0.0
    wanted_height = BLOCK_REST_M + GRIP_M + HOVER_M * (1.0 - over)
    # Low and away from the block: up first, neighbours are as high as the block.
    clearance = float(np.clip((point[2] - BLOCK_REST_M - GRIP_M - 0.1) / 0.03, 0.0, 1.0))
    speed = min(CRUISE_M_S, APPROACH_PER_S * distance) * max(clearance, over)
    return _level_and_climb(offset / max(distance, 1e-9) * speed, wanted_height - point[2]), False


def _level_and_climb(level: FloatArray, height: float) -> FloatArray:
    climb = float(np.clip(APPROACH_PER_S * height, -CLIMB_M_S, CLIMB_M_S))
    return np.array([level[0], level[1], climb])
