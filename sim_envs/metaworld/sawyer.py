"""A Meta-World task, stepped and judged by Meta-World's own class for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.benchmark_task import TaskFacts
from dualsys.sim_envs.metaworld.sentences import SENTENCES
from dualsys.sim_envs.options import ImageTurn
from dualsys.sim_envs.physics_state import guided_positions, load_physics, place_guided, save_physics

CONTROL_HZ = 80.0
EPISODE_STEPS = 500
"""`SawyerXYZEnv.max_path_length`."""
INITIAL_STATES = 50
"""Tasks of a benchmark `MT1`."""
BENCHMARK_SEED = 42
"""Of the benchmark whose tasks are the initial states; LeRobot's environment is made from the same."""
CORNER2_POSITION = (0.75, 0.075, 0.7)
"""Where evaluations of image policies put the camera `corner2` (LeRobot's among them): nearer than the model has it."""
ACTION_NAMES = ("x", "y", "z", "grip")
"""Steps of the hand, 1 being 1 cm, and the fingers' effort, 1 to close. What is held would move on, so the steps are
declared as velocities: left alone they are zero, and the hand stays. Their unit says that, not their scale."""
STATE_NAMES = ("hand_x_m", "hand_y_m", "hand_z_m", "fingers_apart")
CAMERAS: Mapping[str, ImageTurn] = {
    # Those that look from a corner hang upside down in the model.
    "corner2": "half",
    "corner": "half",
    "corner3": "half",
    "corner4": "half",
    "topview": "none",
    "behindGripper": "none",
    "gripperPOV": "none",
}
_NOW = (*STATE_NAMES, *(f"object_{index}" for index in range(14)))
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "target_position": ("x_m", "y_m", "z_m"),
    "observation": (*_NOW, *(f"last_{name}" for name in _NOW), "goal_x_m", "goal_y_m", "goal_z_m"),
}
_ENDLESS = 2**31


def facts_of(name: str) -> TaskFacts:
    """What is known of a task, such as `reach-v3`, before it is built."""
    return TaskFacts(
        task=f"metaworld/{name}",
        robot="metaworld-sawyer",
        instruction=SENTENCES[name],
        action_names=ACTION_NAMES,
        action_units=dict.fromkeys(ACTION_NAMES[:3], "m/s"),
        state_names=STATE_NAMES,
        columns=COLUMNS,
        control_hz=CONTROL_HZ,
        episode_steps=EPISODE_STEPS,
        cameras=CAMERAS,
        no_action=np.zeros(len(ACTION_NAMES)),
        initial_states=INITIAL_STATES,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moment:
    physics: FloatArray
    attributes: dict[str, Any]
    """Of Meta-World's object, which never writes into an array it keeps."""
    observation: FloatArray
    body_positions: FloatArray
    site_positions: FloatArray


@final
class Sawyer:
    """One of the 50 tasks, the goal in its observation as in Meta-World's multi-task benchmarks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._environment = environment = _environment_class(name)()
        # What `set_task` sets for MT1 and its like, without the goals that are drawn with it.
        environment._partially_observable = False
        del environment.sawyer_observation_space
        environment._set_task_called = True
        environment.max_path_length = _ENDLESS  # how long an episode is, is ours to say
        environment.model.camera("corner2").pos = CORNER2_POSITION
        self._observation: FloatArray = np.zeros(len(COLUMNS["observation"]))

    @property
    def model(self) -> Any:
        """Meta-World's `mujoco.MjModel`."""
        return self._environment.model

    @property
    def data(self) -> Any:
        """Meta-World's `mujoco.MjData`."""
        return self._environment.data

    def begin(self, seed: int, initial_state: int | None) -> None:
        """Draw object and goal from a seed, as LeRobot's environment does, or take those of a task of `MT1`."""
        environment = self._environment
        if initial_state is None:
            environment._freeze_rand_vec, environment.seeded_rand_vec = False, True
            environment.seed(seed)
        else:
            environment.set_task(_listed_tasks(self._name)[initial_state])
        self._observation, _ = environment.reset()

    def advance(self, action: FloatArray) -> tuple[float, bool, dict[str, Any]]:
        """One step of Meta-World's; its judgement is of this moment alone."""
        self._observation, reward, _, _, said = self._environment.step(action)
        return float(reward), bool(said["success"]), said

    def state(self) -> FloatArray:
        """Place of the hand, and how far its fingers are apart (1: open)."""
        return self._observation[: len(STATE_NAMES)].copy()

    def facts(self) -> dict[str, FloatArray]:
        """Meta-World's observation `(39,)`, and the goal in it."""
        return {"target_position": self._observation[-3:].copy(), "observation": self._observation.copy()}

    def picture_state(self) -> FloatArray:
        """Positions, those of the hand's guide included."""
        return guided_positions(self.data)

    def mirror(self, picture_state: FloatArray) -> None:
        """Positions alone; the poses of all bodies follow."""
        place_guided(self.model, self.data, picture_state)
        present = self._environment._get_curr_obs_combined_no_goal()
        self._observation = np.concatenate([present, present, self._observation[-3:]])

    def save(self) -> _Moment:
        """The physics, what Meta-World remembers of the episode, and where it put bodies and goal."""
        return _Moment(
            physics=save_physics(self.model, self.data),
            attributes=dict(vars(self._environment)),
            observation=self._observation.copy(),
            body_positions=self.model.body_pos.copy(),
            site_positions=self.model.site_pos.copy(),
        )

    def load(self, moment: _Moment) -> None:
        """Back to a moment."""
        vars(self._environment).update(moment.attributes)
        self.model.body_pos[:], self.model.site_pos[:] = moment.body_positions, moment.site_positions
        load_physics(self.model, self.data, moment.physics)
        self._observation = moment.observation.copy()


def _environment_class(name: str) -> Any:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    return ALL_V3_ENVIRONMENTS[name]


@cache
def _listed_tasks(name: str) -> list[Any]:
    """The 50 tasks of a benchmark `MT1`, drawn here: half a second."""
    import metaworld

    return list(metaworld.MT1(name, seed=BENCHMARK_SEED).train_tasks)
