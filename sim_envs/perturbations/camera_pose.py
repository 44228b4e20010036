"""Cameras that stand elsewhere, look elsewhere, and see more or less."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.messages import FloatArray
from dualsys.sim_envs.perturbations.draws import direction, factor, rotation
from dualsys.sim_envs.perturbations.edited_model import EditedModel
from dualsys.sim_envs.rendering import import_mujoco

WIDEST_FOVY_DEG = 160.0


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CameraPose:
    """Each of the policy's cameras for itself; the pictures for people stay as they are."""

    kind: ClassVar[str] = "camera"
    shift_m: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Up to this far along each axis of what the camera is fixed to."""
    turn_rad: Annotated[float, Field(ge=0, le=3.15)] = 0.0
    """Up to this angle about any axis."""
    zoom: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)] = 0.0
    """Field of view multiplied by 1 / (1 + this) to 1 + this."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not (self.shift_m or self.turn_rad or self.zoom)

    def change(self, edited: EditedModel, rng: np.random.Generator) -> dict[str, float]:
        """Draw, write, and tell the largest of what was drawn."""
        shifts, angles = [0.0], [0.0]
        for camera in edited.camera_ids:
            shift = rng.uniform(-self.shift_m, self.shift_m, 3)
            angle = self.turn_rad * float(rng.uniform())
            _move(edited, camera, shift, rotation(direction(rng), angle))
            fovy = edited.writable("cam_fovy")
            fovy[camera] = min(fovy[camera] * factor(rng, self.zoom), WIDEST_FOVY_DEG)
            shifts.append(float(np.linalg.norm(shift)))
            angles.append(angle)
        return {"shift_m": max(shifts), "turn_rad": max(angles)}


def _move(edited: EditedModel, camera: int, shift: FloatArray, turn: FloatArray) -> None:
    """Of one camera; the fields ending in 0 are those that MuJoCo follows bodies with."""
    mujoco = import_mujoco()
    for field in ("cam_pos", "cam_pos0", "cam_poscom0"):
        edited.writable(field)[camera] += shift
    frames = edited.writable("cam_mat0")
    frames[camera] = (frames[camera].reshape(3, 3) @ turn).reshape(-1)
    quaternions = edited.writable("cam_quat")
    own, turned = np.zeros(9), np.zeros(4)
    mujoco.mju_quat2Mat(own, quaternions[camera])
    mujoco.mju_mat2Quat(turned, (own.reshape(3, 3) @ turn).reshape(-1))
    quaternions[camera] = turned
