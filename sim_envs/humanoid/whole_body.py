"""The embodiment `unitree-g1`: all 43 joints of a Unitree G1 with hands, its pelvis free.

The last 28 joints are those of `unitree-g1-upper` in the same order, so that what commands arms and hands can be put
beside what keeps the balance. The state is what the robot's own encoders and its inertial unit tell.
"""

from typing import Any

import mujoco
import numpy as np

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, JointGroup
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid import robot
from dualsys.sim_envs.humanoid.goals import SIDES
from dualsys.sim_envs.humanoid.names import WHOLE_BODY

LEG_JOINTS = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
GROUPS = {
    **{f"{side}_leg": tuple(f"{side}_{name}_joint" for name in LEG_JOINTS) for side in SIDES},
    "waist": ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"),
    **robot.GROUPS,
}
JOINT_NAMES = tuple(name for group in GROUPS.values() for name in group)
UPPER = slice(len(JOINT_NAMES) - len(robot.JOINT_NAMES), len(JOINT_NAMES))
"""Where arms and hands are in a row of 43."""
STATE_NAMES = (
    *JOINT_NAMES,
    *(f"{name}_velocity" for name in JOINT_NAMES),
    *(f"up_{axis}" for axis in "xyz"),
    *(f"turn_{axis}_rad_s" for axis in "xyz"),
)
LEG_MAX_VELOCITY = 20.0
"""Of the knees' motors. Without a limit of acceleration: the targets of what keeps a balance jump."""

_STANCE = {"hip_pitch": -0.25, "knee": 0.5, "ankle_pitch": -0.25, "shoulder_roll": 0.2, "elbow": 0.9}
_MIRRORED = ("shoulder_roll",)


def stance() -> FloatArray:
    """Joint positions `(43,)` to stand in: knees bent, the middle of the mass over the middle of the feet."""
    row = np.zeros(len(JOINT_NAMES))
    for side in SIDES:
        for name, value in _STANCE.items():
            sign = -1.0 if side == "right" and name in _MIRRORED else 1.0
            row[JOINT_NAMES.index(f"{side}_{name}_joint")] = sign * value
    return row


class Body:
    """Where the robot's joints are in a model's arrays, and what it senses."""

    def __init__(self, model: Any) -> None:
        """`model` has the robot with all its joints."""
        self.positions = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES], dtype=np.intp)
        self.dofs = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES], dtype=np.intp)
        self.actuators = np.array([model.actuator(name).id for name in JOINT_NAMES], dtype=np.intp)
        pelvis = model.body("pelvis")
        self.pelvis, joint = int(pelvis.id), int(pelvis.jntadr[0])
        self.base_position, self.base_dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])

    def height(self, data: Any) -> float:
        """Of the pelvis, metres."""
        return float(data.qpos[self.base_position + 2])

    def up(self, data: Any) -> FloatArray:
        """The world's up `(3,)` as the pelvis sees it: (0, 0, 1) when it is upright."""
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, data.qpos[self.base_position + 3 : self.base_position + 7])
        up: FloatArray = turned.reshape(3, 3)[2]
        return up

    def state(self, data: Any) -> FloatArray:
        """The state `(92,)`: positions, velocities, which way is up, how fast the pelvis turns (in its own frame)."""
        turning = data.qvel[self.base_dof + 3 : self.base_dof + 6]
        return np.concatenate([data.qpos[self.positions], data.qvel[self.dofs], self.up(data), turning])


def embodiment_of(model: Any, cameras: tuple[CameraSpec, ...]) -> EmbodimentSpec:
    """The spec: arms and hands as in `unitree-g1-upper`, position limits of the others read from the model."""
    upper = {joint.name: joint for joint in robot.embodiment_of(model, ()).joints}
    joints = []
    for name in JOINT_NAMES:
        lower, above = (float(value) for value in model.joint(name).range)
        joints.append(upper.get(name) or Joint(name=name, lower=lower, upper=above, max_velocity=LEG_MAX_VELOCITY))
    groups = tuple(JointGroup(name=name, joints=members) for name, members in GROUPS.items())
    return EmbodimentSpec(
        name=WHOLE_BODY, joints=tuple(joints), state_names=STATE_NAMES, groups=groups, cameras=cameras
    )
