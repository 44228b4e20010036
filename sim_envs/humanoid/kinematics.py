"""Arm posture for a point: damped least squares on one arm of the G1.

`ArmKinematics.posture_for` minimises, over the seven joints of an arm, the weighted squares of three errors: the touch
point's position, the fist's direction (forward and down) and the distance from a resting posture. The last makes the
minimum unique nearby, so that the posture depends on the point and hardly on where the search began.
Levenberg-Marquardt with a fixed damping; Jacobians are MuJoCo's.
"""

from typing import Any, Literal

import mujoco
import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HOME, JOINT_NAMES, TOUCH_POINT_M

Side = Literal["left", "right"]

POSITION_WEIGHT = 20.0
DIRECTION_WEIGHT = 0.4
REST_WEIGHT = 0.15
DAMPING = 0.02
FIST_DIRECTION = np.array([0.68, 0.0, -0.733])
LIMIT_MARGIN_RAD = 0.02


class ArmKinematics:
    """Forward and inverse kinematics of one arm, on data of its own."""

    def __init__(self, model: Any, side: Side) -> None:
        """`model` is the compiled scene."""
        self._model = model
        self._data = mujoco.MjData(model)
        names = JOINT_NAMES[ARM_SLICE[side]]
        self._positions = np.array([model.joint(name).qposadr[0] for name in names], dtype=np.intp)
        self._dofs = np.array([model.joint(name).dofadr[0] for name in names], dtype=np.intp)
        self._lower = np.array([model.joint(name).range[0] for name in names]) + LIMIT_MARGIN_RAD
        self._upper = np.array([model.joint(name).range[1] for name in names]) - LIMIT_MARGIN_RAD
        self._wrist = model.body(f"{side}_wrist_yaw_link").id
        self._offset = np.array(TOUCH_POINT_M[side])
        self._jacobian_position = np.zeros((3, model.nv))
        self._jacobian_rotation = np.zeros((3, model.nv))
        self._rest = HOME[ARM_SLICE[side]].copy()

    def touch_point(self, arm: FloatArray) -> FloatArray:
        """Where the middle of the fist's front is `(3,)`, metres, for arm joints `(7,)`."""
        self._place(arm)
        return self._point()

    def posture_for(self, point: FloatArray, start: FloatArray, *, iterations: int = 4) -> FloatArray:
        """Arm joints `(7,)` that bring the touch point to `point` `(3,)`, searched from `start` `(7,)`."""
        arm = np.array(start)
        for _ in range(iterations):
            self._place(arm)
            mujoco.mj_comPos(self._model, self._data)
            here = self._point()
            mujoco.mj_jac(self._model, self._data, self._jacobian_position, self._jacobian_rotation, here, self._wrist)
            direction = self._data.xmat[self._wrist].reshape(3, 3)[:, 0]
            turn = -_cross_matrix(direction) @ self._jacobian_rotation[:, self._dofs]
            rows = np.concatenate(
                [
                    POSITION_WEIGHT * self._jacobian_position[:, self._dofs],
                    DIRECTION_WEIGHT * turn,
                    REST_WEIGHT * np.eye(7),
                ]
            )
            errors = np.concatenate(
                [
                    POSITION_WEIGHT * (point - here),
                    DIRECTION_WEIGHT * (FIST_DIRECTION - direction),
                    REST_WEIGHT * (self._rest - arm),
                ]
            )
            arm = self._bounded_step(arm, rows, errors)
        return arm

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
        return np.asarray(self._data.xpos[self._wrist] + rotation @ self._offset)


def _cross_matrix(vector: FloatArray) -> FloatArray:
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
