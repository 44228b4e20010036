"""The embodiment `aloha-viperx`: two ViperX 300 arms, as LeRobot's datasets of the simulated ALOHA have them.

14 numbers, left arm before right: six joints in radians, then the gripper, 0 closed and 1 open in the package's own
measure. The state is their positions, an action their targets.
"""

from typing import Any

import numpy as np

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, JointGroup

EMBODIMENT_NAME = "aloha-viperx"
SIDES = ("left", "right")
ARM_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
GROUPS = {side: tuple(f"{side}_{name}" for name in (*ARM_JOINTS, "gripper")) for side in SIDES}
JOINT_NAMES = tuple(name for group in GROUPS.values() for name in group)
ARM_SLICE = {"left": slice(0, 6), "right": slice(7, 13)}
"""Where each arm's joints are in a row of 14."""
GRIPPER = {"left": 6, "right": 13}
"""Where each gripper is in a row of 14."""

START = np.array([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.0] * 2)
START[list(GRIPPER.values())] = (0.02239 - 0.01844) / (0.058 - 0.01844)
"""Targets `(14,)` an episode begins with: the package's `START_ARM_POSE` in the units of actions."""


def model_joint(name: str) -> str:
    """What the scene calls one of `JOINT_NAMES`; a gripper is its left finger."""
    side, _, rest = name.partition("_")
    return f"vx300s_{side}/{'left_finger' if rest == 'gripper' else rest}"


def embodiment_of(model: Any, cameras: tuple[CameraSpec, ...]) -> EmbodimentSpec:
    """The spec, position limits read from the compiled `mujoco.MjModel`. The scene's servos have no rate limits."""
    joints = []
    for name in JOINT_NAMES:
        is_gripper = name.endswith("_gripper")
        lower, upper = (0.0, 1.0) if is_gripper else (float(value) for value in model.joint(model_joint(name)).range)
        joints.append(Joint(name=name, lower=lower, upper=upper, unit="1" if is_gripper else "rad"))
    groups = tuple(JointGroup(name=f"{side}_arm", joints=members) for side, members in GROUPS.items())
    return EmbodimentSpec(
        name=EMBODIMENT_NAME, joints=tuple(joints), state_names=JOINT_NAMES, groups=groups, cameras=cameras
    )
