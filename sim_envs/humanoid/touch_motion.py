"""The motion of a fist that touches a block: a field in space, turned into joint targets.

Where the fist is fixes what it does next, so demonstrations have one answer for one situation. The field is a funnel
over the block: level motion at a safe height while the fist is off the block's axis, descent when it is over it, on
past the block's top, so that an aim error of 3 cm still ends in a touch of the right block.
"""

from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import Side
from dualsys.sim_envs.humanoid.kinematics import ArmKinematics, fist
from dualsys.sim_envs.humanoid.robot import HAND_SLICE, HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_HALF_SIZE_M, BLOCK_TOP_M

HOVER_M = 0.08
"""Height of the touch point above the block's top on the way."""
PRESS_M = 0.045
"""How far below the block's top the fist would go if nothing stopped it."""
POINTING_M = 0.07
"""Height above a block's top at which a fist points at it."""
FUNNEL_OUTER_M, FUNNEL_INNER_M = 0.04, 0.012
"""Distances from the block's axis between which the wanted height goes from hovering to pressing."""
CRUISE_M_S = 0.16
DESCENT_M_S = 0.12
APPROACH_PER_S = 4.0
"""Speed per distance near the goal."""
NEAR_HOME_RAD = 0.3
"""An arm this near to home in every joint goes there at once: it starts nearer than that."""
CLEAR_M = 0.05
"""Height above the blocks' tops from which an arm goes home; lower, it would sweep through them."""


class TouchMotion:
    """Where one arm and its hand are to go so that the fist touches a block."""

    def __init__(self, model: Any, side: Side) -> None:
        self._kinematics = ArmKinematics(model, side, fist(side))
        self._fist = HOME[HAND_SLICE[side]]

    def next_arm(self, arm: FloatArray, target: FloatArray) -> FloatArray:
        """Arm joints `(7,)` a lead time ahead of `arm`, for a block centred at `target` `(3,)`."""
        point = self._kinematics.point(arm)
        return self._kinematics.posture_ahead(arm, point, field_velocity(point, target))

    def next_arm_home(self, arm: FloatArray, home: FloatArray) -> FloatArray:
        """Arm joints `(7,)` to go for when there is nothing to do: straight up from among the blocks, then home."""
        if np.abs(arm - home).max() < NEAR_HOME_RAD:
            return home
        point = self._kinematics.point(arm)
        if point[2] > BLOCK_TOP_M + CLEAR_M:
            return home
        return self._kinematics.posture_ahead(arm, point, np.array([0.0, 0.0, DESCENT_M_S]))

    def next_arm_over(self, arm: FloatArray, target: FloatArray) -> FloatArray:
        """Arm joints `(7,)` a lead time ahead of `arm`, for a fist that is to stay over a block at `target` `(3,)`."""
        over = target + np.array([0.0, 0.0, POINTING_M + PRESS_M])  # pressing on a block as high as that ends over it
        return self.next_arm(arm, over)

    def next_hand(self) -> FloatArray:
        """Finger joints `(7,)`: a fist."""
        return self._fist


def field_velocity(point: FloatArray, target: FloatArray) -> FloatArray:
    """Wanted velocity `(3,)` in m/s of the touch point at `point`, for a block centred at `target`."""
    top = target[2] + BLOCK_HALF_SIZE_M[2]
    offset = target[:2] - point[:2]
    distance = float(np.hypot(*offset))
    over = float(np.clip((FUNNEL_OUTER_M - distance) / (FUNNEL_OUTER_M - FUNNEL_INNER_M), 0.0, 1.0))
    over = over * over * (3.0 - 2.0 * over)
    wanted_height = top + HOVER_M - over * (HOVER_M + PRESS_M)
    # Low and away from the block: up first, neighbours are as high as the block.
    clearance = float(np.clip((point[2] - BLOCK_TOP_M - 0.02) / 0.025, 0.0, 1.0))
    level_speed = min(CRUISE_M_S, APPROACH_PER_S * distance) * max(clearance, over)
    climb = float(np.clip(APPROACH_PER_S * (wanted_height - point[2]), -DESCENT_M_S, DESCENT_M_S))
    level = offset / max(distance, 1e-9) * level_speed
    return np.array([level[0], level[1], climb])
