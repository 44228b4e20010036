"""The scripted expert of the humanoid suite: each hand's motion, followed within the joints' limits.

It closes the loop: every call looks at where the joints are now and gives the next row of targets, so it starts from
any posture and recovers from any push. What each hand has to do comes from the environment's privileged facts; the
motions are in `touch_motion.py` and `pick_motion.py`.
"""

from typing import Any, Protocol

import numpy as np

from dualsys.messages import FloatArray, Observation
from dualsys.sim_envs.humanoid.goals import SIDES, Side
from dualsys.sim_envs.humanoid.kinematics import LEAD_S, LIMIT_MARGIN_RAD
from dualsys.sim_envs.humanoid.pick_motion import PickMoment, PickMotion
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HAND_SLICE, HOME, JOINT_NAMES
from dualsys.sim_envs.humanoid.touch_motion import TouchMotion

SERVO_LAG_S = 0.05
"""How far joints trail their targets when nothing disturbs them."""
RETURN_S = 0.5
"""How fast the targets follow where joints really are. Faster, and noise on the targets is integrated; slower, and the
way back from a push leads to the old path, not from where the arm is."""
MAX_JOINT_VELOCITY = 2.5
MAX_JOINT_ACCELERATION = 30.0


class TableTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def model(self) -> Any:
        """The compiled `mujoco.MjModel`."""
        ...

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one step."""
        ...

    def observe(self) -> Observation:
        """The present moment."""
        ...

    def privileged(self) -> dict[str, Any]:
        """Where the blocks are, and what each hand is to do."""
        ...


class TableExpert:
    """Gives the next row of joint targets for an environment's present moment. `reset` it with each episode."""

    def __init__(self, env: TableTask) -> None:
        """Take the robot's model from the environment, which every `act` looks at."""
        self._env = env
        ranges = np.array([env.model.joint(name).range for name in JOINT_NAMES])
        self._lower, self._upper = ranges[:, 0] + LIMIT_MARGIN_RAD, ranges[:, 1] - LIMIT_MARGIN_RAD
        self._touch = {side: TouchMotion(env.model, side) for side in SIDES}
        self._pick = {side: PickMotion(env.model, side) for side in SIDES}
        self.reset()

    def reset(self) -> None:
        """Forget the past episode; the next `act` goes on from what the servos were last sent, whoever sent it."""
        self._command: Any = None
        self._velocity = np.zeros(len(HOME))

    def act(self) -> FloatArray:
        """Joint targets `(28,)` for the next control step (meant for 50 Hz). Once a touch has ended it stays put."""
        state = self._env.observe().state
        facts = self._env.privileged()
        if self._command is None:
            self._command = np.array(facts["command"])
        if facts["is_over"] and all(task is None or task[0] == "touch" for task in facts["hands"].values()):
            return self._follow(np.zeros(len(HOME)), self._env.control_dt_s)
        goal = np.array(facts["home"])
        for side in SIDES:
            self._aim(side, facts, goal)
        drift = state + SERVO_LAG_S * self._velocity - self._command
        drift[14:] = 0.0  # fingers are kept from their targets by what they hold
        return self._follow((goal - self._command) / LEAD_S + drift / RETURN_S, self._env.control_dt_s)

    def _aim(self, side: Side, facts: dict[str, Any], goal: FloatArray) -> None:
        """Write one arm's and hand's goals into the row; without a task they go home."""
        task = facts["hands"][side]
        arm, hand = ARM_SLICE[side], HAND_SLICE[side]
        if task is None:
            goal[arm] = self._touch[side].next_arm_home(self._command[arm], goal[arm])
            return
        verb, colour = task
        block = facts["blocks"][colour]
        if verb != "pick":
            motion = self._touch[side]
            next_arm = motion.next_arm if verb == "touch" else motion.next_arm_over
            goal[arm] = next_arm(self._command[arm], block)
            goal[hand] = motion.next_hand()
            return
        moment = PickMoment(
            arm=self._command[arm],
            hand=self._command[hand],
            block=block,
            gripped=colour in facts["gripped"][side],
        )
        goal[arm], goal[hand] = self._pick[side].next_posture(moment)

    def _follow(self, velocity: FloatArray, dt_s: float) -> FloatArray:
        """Move the targets at a wanted joint velocity, within the velocity, acceleration and position limits."""
        braking = 2 * 0.8 * MAX_JOINT_ACCELERATION  # slow enough towards a limit to stop there, with some in hand
        down = np.sqrt(braking * np.maximum(self._command - self._lower, 0.0)).clip(max=MAX_JOINT_VELOCITY)
        up = np.sqrt(braking * np.maximum(self._upper - self._command, 0.0)).clip(max=MAX_JOINT_VELOCITY)
        wanted = np.clip(velocity, -down, up)
        change = MAX_JOINT_ACCELERATION * dt_s
        self._velocity = self._velocity + np.clip(wanted - self._velocity, -change, change)
        self._command = self._command + self._velocity * dt_s
        return np.array(self._command)
