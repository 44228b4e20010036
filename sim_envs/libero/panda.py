"""What a Panda in LIBERO senses and takes, in the layout of openpi and LeRobot."""

import math
from typing import TYPE_CHECKING

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.benchmark_task import NOT_HONOURED, TaskFacts
from dualsys.sim_envs.libero.tasks import EPISODE_STEPS, INITIAL_STATES, Task

if TYPE_CHECKING:
    from dualsys.sim_envs.libero.simulation import LiberoSimulation

CONTROL_HZ = 20.0
STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "left_finger", "right_finger")
"""Between the finger tips (m), axis times angle of the hand (rad), the fingers (m)."""
MOVES, TURNS = ("move_x", "move_y", "move_z"), ("turn_x", "turn_y", "turn_z")
"""They set the benchmark's controller its goal off the hand's present pose, by 0.05 m and 0.5 rad where they are 1.

What is held would move on, so they are declared as velocities: left alone they are zero, and the hand stays. Their unit
says that, not their scale.
"""
ACTION_NAMES = (*MOVES, *TURNS, "gripper")
"""The gripper closes above zero and opens below."""
IDLE = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
"""The benchmark's own no-op: the hand stays, the gripper opens."""
POLICY_CAMERAS = ("agentview", "robot0_eye_in_hand")
"""The two of every published evaluation."""
COLLISION_SHAPES = 0
"""Their group of geoms; robosuite doesn't draw them either."""


def facts_of(task: Task, simulation: "LiberoSimulation") -> TaskFacts:
    """What is known of a task once its scene is compiled: scenes differ in their cameras."""
    others = [name for name in simulation.cameras() if name not in POLICY_CAMERAS]
    return TaskFacts(
        task=task.name,
        robot="panda-libero",
        instruction=task.sentence,
        action_names=ACTION_NAMES,
        action_units={**dict.fromkeys(MOVES, "m/s"), **dict.fromkeys(TURNS, "rad/s")},
        state_names=STATE_NAMES,
        columns={"target_position": ("x_m", "y_m", "z_m")},
        control_hz=CONTROL_HZ,
        episode_steps=EPISODE_STEPS[task.suite],
        cameras=dict.fromkeys((*POLICY_CAMERAS, *others), "none"),
        policy_cameras=len(POLICY_CAMERAS),
        handed_out="upside-down",
        hidden_groups=(COLLISION_SHAPES,),
        no_action=IDLE,
        initial_states=INITIAL_STATES,
        not_honoured={name: reason for name, reason in NOT_HONOURED.items() if name != "reset_kind"},
    )


def axis_angle(quaternion: FloatArray) -> FloatArray:
    """`(3,)` of `w x y z`, the angle from 0 to 2 pi: of `q` and `-q`, which mean the same, it gives different numbers.

    So do openpi and LeRobot, whose policies have learned it.
    """
    w = min(1.0, max(-1.0, float(quaternion[0])))
    length = math.sqrt(1.0 - w * w)
    if math.isclose(length, 0.0):
        return np.zeros(3)
    vector: FloatArray = quaternion[1:] * 2.0 * math.acos(w) / length
    return vector
