"""The scripted expert of the ALOHA suite: `motions.py`, followed with both arms.

It closes the loop: every call looks at where hands and objects are now, takes each hand a short way along a straight
line, and moves the targets of the servos until the hand is there: servos that trail, sag or are pushed are made up for.
"""

from typing import Any, Protocol

import numpy as np

from dualsys.messages import FloatArray, Observation
from dualsys.rotations import matrix_of_quaternion, matrix_of_sixd, sixd_of_matrix
from dualsys.sim_envs.aloha.hands import GRASP_POINT_M, Hand
from dualsys.sim_envs.aloha.motions import Moment, Thing, insertion, transfer
from dualsys.sim_envs.aloha.robot import ARM_SLICE, GRIPPER, JOINT_NAMES, SIDES, model_joint
from dualsys.sim_envs.aloha.scenes import Scene
from dualsys.sim_envs.end_effector import EndEffector

LEAD_S = 0.15
"""How far ahead the way is looked; also how fast a small error goes."""
SERVO_LAG_S = 0.05
"""How far joints trail moving targets."""
JOINT_SPEED = 2.0
"""Of the fastest joint, rad/s."""
MAX_JOINT_ACCELERATION = 30.0
FARTHEST_LEAD_RAD = 0.12
"""Of a target ahead of its joint: what is pushed against isn't pushed harder and harder."""
GRIP_SPEED = 3.0
"""Of the whole opening, a second."""
HOLDS = 5
"""Steps without contact after which something is no longer held."""
LIMIT_MARGIN_RAD = 0.02
_MOTIONS = {"transfer-cube": transfer, "insertion": insertion}


class BimanualTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def model(self) -> Any:
        """The compiled `mujoco.MjModel`."""
        ...

    @property
    def scene(self) -> Scene:
        """Which task it is."""
        ...

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one step."""
        ...

    def observe(self) -> Observation:
        """The present moment."""
        ...

    def privileged(self) -> dict[str, Any]:
        """Where the objects are, and what is gripped."""
        ...


class BimanualExpert:
    """Gives the next row of joint targets for an environment's present moment. `reset` it with each episode."""

    def __init__(self, environment: BimanualTask) -> None:
        """Take the arms' model from the environment, which every `act` looks at."""
        self._environment = environment
        self._motion = _MOTIONS[environment.scene.name]
        model = environment.model
        names = {side: [model_joint(name) for name in JOINT_NAMES[ARM_SLICE[side]]] for side in SIDES}
        self._arms = {
            side: EndEffector(model, joints=names[side], body=f"vx300s_{side}/gripper_link") for side in SIDES
        }
        ranges = {side: np.array([model.joint(name).range for name in names[side]]) for side in SIDES}
        self._lower = {side: ranges[side][:, 0] + LIMIT_MARGIN_RAD for side in SIDES}
        self._upper = {side: ranges[side][:, 1] - LIMIT_MARGIN_RAD for side in SIDES}
        self.reset()

    def reset(self) -> None:
        """Forget the past episode; the next `act` goes on from what the servos were last sent, whoever sent it."""
        self._command: Any = None
        self._velocity = np.zeros(len(JOINT_NAMES))
        self._last_gripped: dict[str, dict[str, int]] = {side: {} for side in SIDES}

    def act(self) -> FloatArray:
        """Joint targets `(14,)` for the next control step (meant for 50 Hz)."""
        state, facts = self._environment.observe().state, self._environment.privileged()
        if self._command is None:
            self._command = np.array(facts["command"])
        hands = {side: self._hand(side, state) for side in SIDES}
        poses = zip(self._environment.scene.objects, facts["object_poses"], strict=True)
        things = {name: Thing(point=pose[:3], rotation=matrix_of_quaternion(pose[3:])) for name, pose in poses}
        goals = self._motion(
            Moment(hands=hands, things=things, gripped=self._held(facts["gripped"]), solved=facts["is_solved"])
        )
        for side in SIDES:
            self._move_arm(side, state[ARM_SLICE[side]], goals[side])
            self._move_grip(GRIPPER[side], goals[side].grip)
        return np.array(self._command)

    def _held(self, gripped: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """What each hand has: contacts come and go while something is held fast."""
        for side, names in gripped.items():
            self._last_gripped[side] = {name: age + 1 for name, age in self._last_gripped[side].items() if age < HOLDS}
            self._last_gripped[side] |= dict.fromkeys(names, 0)
        return {side: tuple(ages) for side, ages in self._last_gripped.items()}

    def _hand(self, side: str, state: FloatArray) -> Hand:
        pose = self._arms[side].pose(state[ARM_SLICE[side]])
        rotation = matrix_of_sixd(pose[3:])
        return Hand(point=pose[:3] + rotation @ GRASP_POINT_M, rotation=rotation, grip=float(state[GRIPPER[side]]))

    def _move_arm(self, side: str, arm: FloatArray, goal: Hand) -> None:
        """Move one arm's targets towards its goal, all joints arriving together."""
        dt_s, where = self._environment.control_dt_s, ARM_SLICE[side]
        wanted = (self._joints_for(side, arm, goal) - arm - SERVO_LAG_S * self._velocity[where]) / LEAD_S
        wanted *= min(1.0, JOINT_SPEED / max(float(np.abs(wanted).max()), 1e-9))
        change = MAX_JOINT_ACCELERATION * dt_s
        self._velocity[where] += np.clip(wanted - self._velocity[where], -change, change)
        target = self._command[where] + self._velocity[where] * dt_s
        target = np.clip(target, arm - FARTHEST_LEAD_RAD, arm + FARTHEST_LEAD_RAD)
        self._command[where] = np.clip(target, self._lower[side], self._upper[side])

    def _joints_for(self, side: str, arm: FloatArray, goal: Hand) -> FloatArray:
        """Joints `(6,)` that bring the hand to its goal, with the forearm not rolled over.

        A straight wrist is singular: searched from where the arm is, both rolls may go half around, to their ends.
        """
        forward, across, up = goal.rotation.T
        pitch, roll = np.arcsin(-forward[2]), np.arctan2(across[2], up[2])
        start = np.array([*arm[:3], 0.0, pitch - arm[1] - arm[2], roll])
        place = goal.point - goal.rotation @ GRASP_POINT_M
        pose = np.concatenate([place, sixd_of_matrix(goal.rotation)])
        return self._arms[side].joints_for(pose, start, iterations=20)[0]

    def _move_grip(self, index: int, goal: float) -> None:
        step = GRIP_SPEED * self._environment.control_dt_s
        self._command[index] = np.clip(goal, self._command[index] - step, self._command[index] + step)
