"""A Fetch task, stepped and judged by gymnasium-robotics' own class for it."""

import contextlib
import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.benchmark_task import TaskFacts
from dualsys.sim_envs.options import ImageTurn
from dualsys.sim_envs.physics_state import guided_positions, load_physics, place_guided, save_physics

CONTROL_HZ = 25.0
EPISODE_STEPS = 50
"""Of the package's registrations."""
CLASSES: Mapping[str, str] = {
    "pick-and-place": "pick_and_place:MujocoFetchPickAndPlaceEnv",
    "push": "push:MujocoFetchPushEnv",
    "reach": "reach:MujocoFetchReachEnv",
    "slide": "slide:MujocoFetchSlideEnv",
}
"""By task, where the package has its class: the one registered as version 4."""
SENTENCES: Mapping[str, str] = {
    "pick-and-place": "pick up the block and hold it at the red ball",
    "push": "push the block to the red ball",
    "reach": "move the gripper to the red ball",
    "slide": "hit the puck so that it slides to the red ball",
}
ACTION_NAMES = ("x", "y", "z", "grip")
"""Steps of the hand, 1 being 5 cm, and how far the fingers open. What is held would move on, so the steps are
declared as velocities: left alone they are zero, and the hand stays. Their unit says that, not their scale."""
STATE_NAMES = (
    *(f"hand_{axis}_m" for axis in "xyz"),
    *("right_finger_m", "left_finger_m"),
    *(f"hand_{axis}_m_a_step" for axis in "xyz"),
    *("right_finger_m_a_step", "left_finger_m_a_step"),
)
CAMERAS: Mapping[str, ImageTurn] = {
    "external_camera_0": "none",
    "head_camera_rgb": "none",
    "gripper_camera_rgb": "none",
}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "target_position": ("x_m", "y_m", "z_m"),
    "achieved_position": ("x_m", "y_m", "z_m"),
    "object": tuple(
        f"{what}_{axis}" for what in ("place", "from_hand", "rotation", "velocity", "spin") for axis in "xyz"
    ),
}
_OBJECT = slice(3, 9), slice(11, 20)
"""Of the observation `(25,)` of a task with an object: what the 10 numbers of `reach` are without."""
_NO_OBJECT = np.full(len(COLUMNS["object"]), np.nan)


def facts_of(name: str) -> TaskFacts:
    """What is known of a task, such as `reach`, before it is built."""
    return TaskFacts(
        task=f"fetch/{name}",
        robot="fetch-arm",
        instruction=SENTENCES[name],
        action_names=ACTION_NAMES,
        action_units=dict.fromkeys(ACTION_NAMES[:3], "m/s"),
        state_names=STATE_NAMES,
        columns=COLUMNS,
        control_hz=CONTROL_HZ,
        episode_steps=EPISODE_STEPS,
        cameras=CAMERAS,
        no_action=np.zeros(len(ACTION_NAMES)),
        success_stays=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moment:
    physics: FloatArray
    goal: FloatArray
    observation: dict[str, FloatArray]


@final
class FetchArm:
    """One of the four tasks, with the package's sparse reward."""

    def __init__(self, name: str) -> None:
        self._environment = _environment_class(name)()
        model = self._environment.model
        self._target = model.site("target0").id
        self._floor = self._environment.data.site_xpos[self._target] - model.site_pos[self._target]
        self._observation: dict[str, FloatArray] = {}

    @property
    def model(self) -> Any:
        """The package's `mujoco.MjModel`."""
        return self._environment.model

    @property
    def data(self) -> Any:
        """The package's `mujoco.MjData`."""
        return self._environment.data

    def begin(self, seed: int, initial_state: int | None) -> None:
        """Draw object and goal from a seed."""
        del initial_state  # none are listed
        self._observation, _ = self._environment.reset(seed=seed)
        self._show_goal()

    def advance(self, action: FloatArray) -> tuple[float, bool, dict[str, Any]]:
        """One step of the package's; its judgement is of this moment alone."""
        self._observation, reward, _, _, said = self._environment.step(action)
        return float(reward), bool(said["is_success"]), {"is_success": bool(said["is_success"])}

    def state(self) -> FloatArray:
        """Place and velocity of hand and fingers."""
        seen = self._observation["observation"]
        return seen if len(seen) == len(STATE_NAMES) else np.delete(seen, np.r_[_OBJECT])

    def facts(self) -> dict[str, FloatArray]:
        """The goal, what is to be there, and what the package says of the object (NaN where there is none)."""
        seen = self._observation["observation"]
        has_object = len(seen) > len(STATE_NAMES)
        return {
            "target_position": self._observation["desired_goal"].copy(),
            "achieved_position": self._observation["achieved_goal"].copy(),
            "object": seen[np.r_[_OBJECT]] if has_object else _NO_OBJECT.copy(),
        }

    def picture_state(self) -> FloatArray:
        """Positions, those of the hand's guide included. A picture drawn from them is a physics step (2 ms) newer."""
        return guided_positions(self.data)

    def mirror(self, picture_state: FloatArray) -> None:
        """Positions alone; the poses of all bodies follow."""
        place_guided(self.model, self.data, picture_state)
        self._observation = self._environment._get_obs()

    def save(self) -> _Moment:
        """The physics, and the goal."""
        return _Moment(
            physics=save_physics(self.model, self.data),
            goal=self._environment.goal.copy(),
            observation={name: value.copy() for name, value in self._observation.items()},
        )

    def load(self, moment: _Moment) -> None:
        """Back to a moment."""
        self._environment.goal = moment.goal.copy()
        load_physics(self.model, self.data, moment.physics)
        self._observation = {name: value.copy() for name, value in moment.observation.items()}
        self._show_goal()

    def _show_goal(self) -> None:
        """Put the ball there, as the package does when it draws, and without working anything out anew."""
        self.model.site_pos[self._target] = self._environment.goal - self._floor
        self.data.site_xpos[self._target] = self._environment.goal


def _environment_class(name: str) -> Any:
    module, _, class_name = CLASSES[name].partition(":")
    with contextlib.redirect_stderr(io.StringIO()):  # the package prints news about other tasks of its
        return getattr(importlib.import_module(f"gymnasium_robotics.envs.fetch.{module}"), class_name)
