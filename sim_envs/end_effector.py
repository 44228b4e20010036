"""`EndEffector`: between a robot's joints and the pose of one of its bodies or sites, through its MuJoCo model.

A pose is nine numbers: position in metres in the world, then the first two columns of the rotation
(`dualsys.rotations`). Joints to pose is exact. Pose to joints is a search, damped least squares from where the robot
is: an arm of seven joints reaches a pose in many ways, and near the start is the one that is meant.
"""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray
from dualsys.rotations import matrix_of_sixd, sixd_of_matrix

DAMPING = 1e-4
MAX_STEP_RAD = 0.3
"""Of a joint in one iteration: linearised further, the search jumps to another way of reaching."""


class EndEffector:
    """Forward and inverse kinematics of one body or site, on data of its own."""

    def __init__(self, model: Any, *, joints: Sequence[str], body: str = "", site: str = "") -> None:
        """Of a body or of a site, moved by some joints; the others stay where the model has them.

        Raises:
            ConfigError: a name that the model hasn't, a joint that isn't a hinge or slide, or not one of body and site.
        """
        if bool(body) == bool(site):
            raise ConfigError(f"an end effector is a body or a site; got body {body!r} and site {site!r}")
        for kind, name, known in (
            *(("joint", name, _names(model, model.njnt, model.joint)) for name in joints),
            ("body", body, _names(model, model.nbody, model.body)),
            ("site", site, _names(model, model.nsite, model.site)),
        ):
            if name and name not in known:
                raise ConfigError(unknown_name(kind, name, known))
        self._model = model
        self._data = mujoco.MjData(model)
        handles = [model.joint(name) for name in joints]
        moved = [name for name, joint in zip(joints, handles, strict=True) if joint.type[0] not in _ONE_DEGREE]
        if moved:
            raise ConfigError(f"joints {moved} are neither hinges nor slides: they have no one position")
        self._positions = np.array([joint.qposadr[0] for joint in handles], dtype=np.intp)
        self._dofs = np.array([joint.dofadr[0] for joint in handles], dtype=np.intp)
        limited = np.array([bool(joint.limited[0]) for joint in handles])
        ranges = np.array([joint.range for joint in handles]).reshape(-1, 2)
        self._lower = np.where(limited, ranges[:, 0], -np.inf)
        self._upper = np.where(limited, ranges[:, 1], np.inf)
        self._is_body = bool(body)
        self._id = int(model.body(body).id if body else model.site(site).id)

    def pose(self, joints: FloatArray) -> FloatArray:
        """`(9,)` of joint positions `(n,)`."""
        self._place(joints)
        position, rotation = self._here()
        return np.concatenate([position, sixd_of_matrix(rotation)])

    def joints_for(self, pose: FloatArray, start: FloatArray, *, iterations: int = 50) -> tuple[FloatArray, float]:
        """Joint positions `(n,)` within their limits for a pose `(9,)`, searched from `start` `(n,)`.

        Returns them with what is left: the larger of the distance in metres and the angle in radians. A pose out of
        reach leaves much; whether that is too much is the caller's to say.
        """
        wanted_place, wanted_turn = pose[:3], matrix_of_sixd(pose[3:])
        joints = np.clip(np.array(start, dtype=np.float64), self._lower, self._upper)
        for _ in range(iterations):
            error = self._error(joints, wanted_place, wanted_turn)
            if np.abs(error).max() < 1e-10:
                break
            jacobian = self._jacobian()
            damped = jacobian.T @ jacobian + DAMPING * min(1.0, float(error @ error)) * np.eye(len(joints))
            step = np.linalg.lstsq(damped, jacobian.T @ error, rcond=1e-12)[0]
            step *= min(1.0, MAX_STEP_RAD / max(float(np.abs(step).max()), 1e-12))
            joints = np.clip(joints + step, self._lower, self._upper)
        error = self._error(joints, wanted_place, wanted_turn)
        return joints, float(max(np.linalg.norm(error[:3]), np.linalg.norm(error[3:])))

    def _error(self, joints: FloatArray, place: FloatArray, turn: FloatArray) -> FloatArray:
        """`(6,)`: what is missing in position, and the turn that is missing as axis times angle."""
        self._place(joints)
        here, rotation = self._here()
        quaternion, missing = np.zeros(4), np.zeros(3)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(turn @ rotation.T).reshape(-1))
        mujoco.mju_quat2Vel(missing, quaternion, 1.0)
        return np.concatenate([place - here, missing])

    def _jacobian(self) -> FloatArray:
        """`(6, n)` at the posture that was placed last."""
        mujoco.mj_comPos(self._model, self._data)
        move, turn = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        jacobian = mujoco.mj_jacBody if self._is_body else mujoco.mj_jacSite
        jacobian(self._model, self._data, move, turn, self._id)
        return np.concatenate([move[:, self._dofs], turn[:, self._dofs]])

    def _place(self, joints: FloatArray) -> None:
        self._data.qpos[self._positions] = joints
        mujoco.mj_kinematics(self._model, self._data)

    def _here(self) -> tuple[FloatArray, FloatArray]:
        places, turns = (
            (self._data.xpos, self._data.xmat) if self._is_body else (self._data.site_xpos, self._data.site_xmat)
        )
        return np.array(places[self._id]), np.array(turns[self._id]).reshape(3, 3)


_ONE_DEGREE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


def _names(model: Any, count: int, handle: Any) -> list[str]:
    return [handle(index).name for index in range(count)]
