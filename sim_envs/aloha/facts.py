"""What no policy may see of an ALOHA task, as experts, helper losses and tests are told it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.aloha.robot import GRIPPER, SIDES
from dualsys.sim_envs.aloha.scenes import Scene

_POSE = ("x_m", "y_m", "z_m", "qw", "qx", "qy", "qz")
_GRIPPER_CLOSED_M, _GRIPPER_OPEN_M = 0.01844, 0.058
"""Of a finger's joint: 0 and 1 in the package's measure."""


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "target_position": _POSE[:3],
    "hand_targets": tuple(f"{side}_{part}" for side in SIDES for part in _POSE[:3]),
}
"""Names of what recordings keep, and of its components: the same for both tasks, so that one dataset may have both."""


def facts_of(scene: Scene, data: Any) -> dict[str, Any]:
    """What is explained at `BimanualTable.privileged`."""
    poses = {name: _pose(data, name) for name in scene.objects}
    left, right = scene.grasped
    # The cube is handed over: what the right hand takes is what the left hand is to take next.
    targets = [poses[name][:3] for name in (left or right, right or left) if name is not None]
    return {
        "object_poses": np.stack(list(poses.values())),
        "command": command_of(data.ctrl),
        "target_position": targets[1],
        "hand_targets": np.stack(targets),
    }


def command_of(controls: FloatArray) -> FloatArray:
    """Targets `(14,)` in the units of actions, of the scene's 16 servos: each finger of a gripper has one."""
    command = np.delete(np.asarray(controls, dtype=np.float64), (7, 15))
    grippers = list(GRIPPER.values())
    command[grippers] = (command[grippers] - _GRIPPER_CLOSED_M) / (_GRIPPER_OPEN_M - _GRIPPER_CLOSED_M)
    return command


def _pose(data: Any, body: str) -> FloatArray:
    handle = data.body(body)
    return np.concatenate([handle.xpos, handle.xquat])
