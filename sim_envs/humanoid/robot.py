"""The embodiment `unitree-g1-upper`: both arms and both hands of a Unitree G1, everything else held.

28 joints, 7 a group, in the order left arm, right arm, left hand, right hand. Positions are commanded to the position
servos that ship with the model; the state is the 28 joint positions.
"""

from typing import Any

import numpy as np

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, JointGroup
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import SIDES
from dualsys.sim_envs.humanoid.names import UPPER_BODY

ARM_JOINTS = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
HAND_JOINTS = (
    "hand_thumb_0",
    "hand_thumb_1",
    "hand_thumb_2",
    "hand_middle_0",
    "hand_middle_1",
    "hand_index_0",
    "hand_index_1",
)
GROUPS = {
    f"{side}_{part}": tuple(f"{side}_{name}_joint" for name in names)
    for part, names in (("arm", ARM_JOINTS), ("hand", HAND_JOINTS))
    for side in SIDES
}
JOINT_NAMES = tuple(name for group in GROUPS.values() for name in group)
ARM_SLICE = {"left": slice(0, 7), "right": slice(7, 14)}
"""Where each arm's joints are in a row of 28."""

HAND_SLICE = {"left": slice(14, 21), "right": slice(21, 28)}
"""Where each hand's joints are in a row of 28."""

ARM_MAX_VELOCITY = 4.0
ARM_MAX_ACCELERATION = 60.0
HAND_MAX_VELOCITY = 6.0
HAND_MAX_ACCELERATION = 100.0

# A left arm with the fist beside and above the near blocks, and the fist; the right side is the mirror image.
_HOME_ARM = (0.55, 0.95, 0.17, -0.92, -0.2, 1.0, -0.38)
_FIST = (0.0, 0.5, 1.7, -1.4, -1.5, -1.4, -1.5)
_ARM_MIRROR = (1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0)
_HAND_MIRROR = (1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0)

HOME: FloatArray = np.concatenate(
    [_HOME_ARM, np.multiply(_HOME_ARM, _ARM_MIRROR), _FIST, np.multiply(_FIST, _HAND_MIRROR)]
).astype(np.float64)
"""Home posture `(28,)`: both fists beside the blocks and above them."""

_OPEN_ARM = (0.214, 0.812, 0.683, -0.516, -0.488, 0.996, -0.512)
_OPEN_HAND = (0.0, 0.2, 0.0, 0.0, -0.5, 0.0, -0.5)
_CLOSED_HAND = (0.0, 1.04, 0.6, -1.1, -1.13, -1.1, -1.13)

OPEN_HOME: FloatArray = np.concatenate(
    [_OPEN_ARM, np.multiply(_OPEN_ARM, _ARM_MIRROR), _OPEN_HAND, np.multiply(_OPEN_HAND, _HAND_MIRROR)]
).astype(np.float64)
"""Posture `(28,)` that grasping starts from: both hands open, higher and further out than the blocks."""

OPEN_HAND: dict[str, FloatArray] = {
    "left": np.array(_OPEN_HAND),
    "right": np.multiply(_OPEN_HAND, _HAND_MIRROR),
}
"""Finger joints `(7,)` of a hand that goes around a block."""
CLOSED_HAND: dict[str, FloatArray] = {
    "left": np.array(_CLOSED_HAND),
    "right": np.multiply(_CLOSED_HAND, _HAND_MIRROR),
}
"""Finger joints `(7,)` of a hand that squeezes: none of them gets there with a block in between."""
GRASP_POINT_M = {"left": (0.128, -0.054, 0.0), "right": (0.128, 0.054, 0.0)}
"""Where the axis of a block is to be in the frame of `<side>_wrist_yaw_link` when the hand closes."""
GRASP_ROLL_PITCH_YAW_RAD = {"left": (0.41, 0.57, -0.47), "right": (-0.41, 0.57, 0.47)}
"""How the hand is turned then: pointing ahead, inward and down, the palm over the block's outer side. Found by search
over postures for the largest share of blocks lifted in spite of 14 mm of aim error."""

TOUCH_POINT_M = {"left": (0.137, -0.02, 0.0), "right": (0.137, 0.02, 0.0)}
"""The middle of the fist's front in the frame of `<side>_wrist_yaw_link`: what the expert puts on a block."""


def embodiment_of(model: Any, cameras: tuple[CameraSpec, ...]) -> EmbodimentSpec:
    """The spec, position limits read from the compiled `mujoco.MjModel`."""
    joints = []
    for name in JOINT_NAMES:
        lower, upper = (float(value) for value in model.joint(name).range)
        is_hand = "_hand_" in name
        joints.append(
            Joint(
                name=name,
                lower=lower,
                upper=upper,
                max_velocity=HAND_MAX_VELOCITY if is_hand else ARM_MAX_VELOCITY,
                max_acceleration=HAND_MAX_ACCELERATION if is_hand else ARM_MAX_ACCELERATION,
            )
        )
    groups = tuple(JointGroup(name=name, joints=members) for name, members in GROUPS.items())
    return EmbodimentSpec(
        name=UPPER_BODY, joints=tuple(joints), state_names=JOINT_NAMES, groups=groups, cameras=cameras
    )
