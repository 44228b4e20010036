"""Arm posture for a point: damped least squares on one arm of the G1.

`ArmKinematics.posture_for` minimises, over the seven joints of an arm, the weighted squares of three errors: the
position of a point of the hand, how the hand is turned, and the distance from a resting posture. The last makes the
minimum unique nearby, so that the posture depends on the point and hardly on where the search began.
Levenberg-Marquardt with a fixed damping; Jacobians are MuJoCo's.

Two ways to hold a hand (`Hold`): a fist whose front goes to the point and which may turn about its own direction, and
an open hand turned in full, the way it goes around a block.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import Side
from dualsys.sim_envs.humanoid.robot import (
    ARM_SLICE,
    GRASP_POINT_M,
    GRASP_ROLL_PITCH_YAW_RAD,
    HOME,
    JOINT_NAMES,
    OPEN_HOME,
    TOUCH_POINT_M,
)

POSITION_WEIGHT = 20.0
DAMPING = 0.02
FIST_DIRECTION = np.array([0.68, 0.0, -0.733])
LIMIT_MARGIN_RAD = 0.02
LEAD_S = 0.1
"""How far ahead the motions' postures lie; also how fast an unusual posture becomes the usual one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hold:
    """Which point of the hand is to go somewhere, and how the hand is to be turned then."""

    point: FloatArray
    """`(3,)` metres in the frame of `<side>_wrist_yaw_link`."""
    axes: tuple[tuple[int, FloatArray], ...]
    """Axes of that frame (0 forward, 1 left, 2 up) and the directions `(3,)` in the world that they are to have."""
    turn_weight: float
    rest: FloatArray
    """Arm joints `(7,)` that are preferred."""
    rest_weight: float


def fist(side: Side) -> Hold:
    """The fist's front, pointing ahead and down."""
    return Hold(
        point=np.array(TOUCH_POINT_M[side]),
        axes=((0, FIST_DIRECTION),),
        turn_weight=0.4,
        rest=HOME[ARM_SLICE[side]].copy(),
        rest_weight=0.15,
    )


def grasp(side: Side) -> Hold:
    """The middle of an open hand, turned so that it goes around an upright block from above."""
    rotation = _rotation(*GRASP_ROLL_PITCH_YAW_RAD[side])
    return Hold(
        point=np.array(GRASP_POINT_M[side]),
        axes=((0, rotation[:, 0]), (1, rotation[:, 1])),
        turn_weight=0.4,
        rest=OPEN_HOME[ARM_SLICE[side]].copy(),
        rest_weight=0.1,
    )


class ArmKinematics:
    """Forward and inverse kinematics of one arm under one hold, on data of its own."""

    def __init__(self, model: Any, side: Side, hold: Hold) -> None:
        """`model` is the compiled scene."""
        self._model = model
        self._data = mujoco.MjData(model)
        names = JOINT_NAMES[ARM_SLICE[side]]
        self._positions = np.array([model.joint(name).qposadr[0] for name in names], dtype=np.intp)
        self._dofs = np.array([model.joint(name).dofadr[0] for name in names], dtype=np.intp)
        self._lower = np.array([model.joint(name).range[0] for name in names]) + LIMIT_MARGIN_RAD
        self._upper = np.array([model.joint(name).range[1] for name in names]) - LIMIT_MARGIN_RAD
        self._wrist = model.body(f"{side}_wrist_yaw_link").id
        self._hold = hold
        self._jacobian_position = np.zeros((3, model.nv))
        self._jacobian_rotation = np.zeros((3, model.nv))

    def point(self, arm: FloatArray) -> FloatArray:
        """Where the hold's point is `(3,)`, metres, for arm joints `(7,)`."""
        self._place(arm)
        return self._point()

    def posture_for(self, point: FloatArray, start: FloatArray, *, iterations: int = 4) -> FloatArray:
        """Arm joints `(7,)` that bring the hold's point to `point` `(3,)`, searched from `start` `(7,)`."""
        arm = np.array(start)
        for _ in range(iterations):
            rows, errors = self._linearised(arm, point)
            arm = self._bounded_step(arm, rows, errors)
        return arm

    def posture_ahead(self, arm: FloatArray, point: FloatArray, velocity: FloatArray) -> FloatArray:
        """Arm joints `(7,)` a lead time ahead of `arm`, whose point is at `point` `(3,)` and to move at `velocity`."""
        return self.posture_for(point + LEAD_S * velocity, arm, iterations=6)

    def _linearised(self, arm: FloatArray, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weighted Jacobian `(m, 7)` and errors `(m,)` at a posture."""
        hold = self._hold
        self._place(arm)
        mujoco.mj_comPos(self._model, self._data)
        here = self._point()
        mujoco.mj_jac(self._model, self._data, self._jacobian_position, self._jacobian_rotation, here, self._wrist)
        turning = self._jacobian_rotation[:, self._dofs]
        rotation = self._data.xmat[self._wrist].reshape(3, 3)
        rows = [POSITION_WEIGHT * self._jacobian_position[:, self._dofs]]
        errors = [POSITION_WEIGHT * (point - here)]
        for axis, wanted in hold.axes:
            direction = rotation[:, axis]
            rows.append(hold.turn_weight * (-_cross_matrix(direction) @ turning))
            errors.append(hold.turn_weight * (wanted - direction))
        rows.append(hold.rest_weight * np.eye(7))
        errors.append(hold.rest_weight * (hold.rest - arm))
        return np.concatenate(rows), np.concatenate(errors)

    def _bounded_step(self, arm: FloatArray, rows: FloatArray, errors: FloatArray) -> FloatArray:
        """One damped step; joints that would leave their range stop at its end, and the others are solved again."""
        free = np.ones(7, dtype=bool)
        new = arm
        for _ in range(3):
            used = rows[:, free]
            rest = errors - rows[:, ~free] @ (new - arm)[~free]
            change = np.linalg.solve(used.T @ used + DAMPING * np.eye(used.shape[1]), used.T @ rest)
            new = new.copy()
            new[free] = arm[free] + np.clip(change, -0.5, 0.5)
            outside = free & ((new < self._lower) | (new > self._upper))
            if not outside.any():
                break
            new = np.clip(new, self._lower, self._upper)
            free &= ~outside
        return new

    def _place(self, arm: FloatArray) -> None:
        self._data.qpos[self._positions] = arm
        mujoco.mj_kinematics(self._model, self._data)

    def _point(self) -> FloatArray:
        rotation = self._data.xmat[self._wrist].reshape(3, 3)
        return np.asarray(self._data.xpos[self._wrist] + rotation @ self._hold.point)


def _rotation(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Matrix of a turn about x, then y, then z, all fixed axes."""
    quaternion, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_euler2Quat(quaternion, np.array([roll, pitch, yaw]), "XYZ")
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def _cross_matrix(vector: FloatArray) -> FloatArray:
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
