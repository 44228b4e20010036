"""The scripted expert of `humanoid/touch`: a field of motion in space, turned into joint targets.

It closes the loop: every call looks at where the joints are now and gives the next row of targets, so it starts from
any posture and recovers from any push. Where the fist is fixes what it does next, up to a short memory, so
demonstrations have one answer for one situation. The field is a funnel over the named block: level motion at a safe
height while the fist is off the block's axis, descent when it is over it, on past the block's top, so that an aim error
of 3 cm still ends in a touch of the right block.
"""

from typing import Any, Protocol

import numpy as np

from dualsys.messages import FloatArray, Observation
from dualsys.sim_envs.humanoid.kinematics import LIMIT_MARGIN_RAD, ArmKinematics, Side
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HOME, JOINT_NAMES
from dualsys.sim_envs.humanoid.scene import BLOCK_HALF_SIZE_M, BLOCK_TOP_M

HOVER_M = 0.08
"""Height of the touch point above the block's top on the way."""
PRESS_M = 0.045
"""How far below the block's top the fist would go if nothing stopped it."""
FUNNEL_OUTER_M, FUNNEL_INNER_M = 0.04, 0.012
"""Distances from the block's axis between which the wanted height goes from hovering to pressing."""
CRUISE_M_S = 0.16
DESCENT_M_S = 0.12
APPROACH_PER_S = 4.0
"""Speed per distance near the goal."""
LEAD_S = 0.1
"""How far ahead along the field postures are solved for; also how fast an unusual posture becomes the usual one."""
SERVO_LAG_S = 0.05
"""How far joints trail their targets when nothing disturbs them."""
RETURN_S = 0.5
"""How fast the targets follow where joints really are. Faster, and noise on the targets is integrated; slower, and the
way back from a push leads to the old path, not from where the arm is."""
MAX_JOINT_VELOCITY = 2.5
MAX_JOINT_ACCELERATION = 30.0


class TouchTask(Protocol):
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
        """Where the named block is."""
        ...


class TouchExpert:
    """Gives the next row of joint targets for an environment's present moment. `reset` it with each episode."""

    def __init__(self, env: TouchTask) -> None:
        """Take the robot's model from the environment."""
        ranges = np.array([env.model.joint(name).range for name in JOINT_NAMES])
        self._lower, self._upper = ranges[:, 0] + LIMIT_MARGIN_RAD, ranges[:, 1] - LIMIT_MARGIN_RAD
        self._arms: dict[Side, ArmKinematics] = {side: ArmKinematics(env.model, side) for side in ("left", "right")}
        self.reset()

    def reset(self) -> None:
        """Forget the past episode."""
        self._command: Any = None
        self._velocity = np.zeros(len(HOME))
        self._side: Side = "left"

    def act(self, env: TouchTask) -> FloatArray:
        """Joint targets `(28,)` for the next control step (meant for 50 Hz). Once a block is touched it stays put."""
        state = env.observe().state
        facts = env.privileged()
        target = facts["target_position"]
        if self._command is None:
            self._command, self._side = np.array(state), side_for(target)
        if facts["touched"] is not None:
            return self._follow(np.zeros(len(HOME)), env.control_dt_s)
        goal = HOME.copy()
        arm = ARM_SLICE[self._side]
        kinematics = self._arms[self._side]
        point = kinematics.touch_point(self._command[arm])
        ahead = point + LEAD_S * field_velocity(point, target)
        goal[arm] = kinematics.posture_for(ahead, self._command[arm], iterations=6)
        drift = state + SERVO_LAG_S * self._velocity - self._command
        return self._follow((goal - self._command) / LEAD_S + drift / RETURN_S, env.control_dt_s)

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


def side_for(target: FloatArray) -> Side:
    """The hand on the block's side of the robot."""
    return "left" if target[1] >= 0 else "right"


def field_velocity(point: FloatArray, target: FloatArray) -> FloatArray:
    """Wanted velocity `(3,)` in m/s of the touch point at `point`, for a block centred at `target`."""
    top = target[2] + BLOCK_HALF_SIZE_M[2]
    offset = target[:2] - point[:2]
    distance = float(np.hypot(*offset))
    over = float(np.clip((FUNNEL_OUTER_M - distance) / (FUNNEL_OUTER_M - FUNNEL_INNER_M), 0.0, 1.0))
    over = over * over * (3.0 - 2.0 * over)
    wanted_height = top + HOVER_M - over * (HOVER_M + PRESS_M)
    # Low and away from the block: up first, neighbours are as high as the block.
    clearance = float(np.clip((point[2] - BLOCK_TOP_M - 0.02) / 0.025, 0.0, 1.0))
    level_speed = min(CRUISE_M_S, APPROACH_PER_S * distance) * max(clearance, over)
    climb = float(np.clip(APPROACH_PER_S * (wanted_height - point[2]), -DESCENT_M_S, DESCENT_M_S))
    level = offset / max(distance, 1e-9) * level_speed
    return np.array([level[0], level[1], climb])
