"""The simulated ALOHA through our interface: physics, actions and reward are gym-aloha's, pictures are ours.

Same seed, same actions: positions and rewards equal the package's own environment to the bit, 50 steps a second. What
is left out is its three pictures in every step; ours are drawn when somebody looks.
Source: Zhao et al. 2023, Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware (arXiv:2304.13705).
"""

from collections.abc import Mapping
from typing import Any, final

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs.actions import checked_action
from dualsys.sim_envs.aloha import facts
from dualsys.sim_envs.aloha.choices import camera_specs, require_one_way, substeps_at
from dualsys.sim_envs.aloha.contacts import GripDetector
from dualsys.sim_envs.aloha.robot import JOINT_NAMES, embodiment_of
from dualsys.sim_envs.aloha.scenes import Scene, compile_physics, load_task, place
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.physics_state import load_physics, place_positions, save_physics
from dualsys.sim_envs.pictures import Pictures
from dualsys.sim_envs.reset_seed import ResetSeed
from dualsys.sim_envs.spaces import observation_space

CONTROL_HZ = 50.0
"""Rate of `step` where none is asked for: the package's, and that of the published data."""
TIME_LIMIT_S = 8.0
"""400 steps at 50 Hz, as ACT's own evaluation has it; the package's registration stops at 300."""
SOLVED = 4
"""The package's highest reward."""
POLICY_CAMERA = "top"
"""The camera of the published data."""
FILM_CAMERA = "angle"
FILM_SIZE = (360, 480)
_LARGEST_STATE = 1e10
"""mjMAXVAL: thrown about, joints swing past their ranges."""


@final
class BimanualTable(gymnasium.Env[dict[str, Any], FloatArray]):
    """Two ViperX arms at a table. Actions are rows of 14 joint targets (`robot.py`), which servos clip to their ranges.

    The reward of a step is the package's: 0 to 4, where 4 is solved and ends the episode. `info` has `success`,
    `reward_level`, `episode_seed` and `time_s`. An episode may be stepped on after its end, as demonstrations are.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  # gymnasium's

    def __init__(self, scene: Scene, options: EnvironmentOptions | None = None) -> None:
        """Compile the scene (about 0.05 s, and dm_control's import before the first).

        Raises `ConfigError` for an option that the suite doesn't have, `ExtraMissing` where gym-aloha is missing.
        """
        self._scene = scene
        self._options = options = options or EnvironmentOptions()
        require_one_way(scene, options)
        self._physics, self._task = compile_physics(scene), load_task(scene)
        self._model, self._data = self._physics.model.ptr, self._physics.data.ptr
        self._grips = GripDetector(self._model, scene.objects)
        self._substeps = substeps_at(options.control_hz or CONTROL_HZ, self._model.opt.timestep)
        steps = options.episode_steps
        self._limit_s = TIME_LIMIT_S if steps is None else steps * self.control_dt_s
        self._cameras = options.cameras or (POLICY_CAMERA,)
        self._embodiment = embodiment_of(
            self._model, camera_specs(self._cameras, self.camera_names, options.image_shape)
        )
        self._pictures = Pictures(options, self._cameras, self.render_camera)
        self._reward = 0
        self._seeds = ResetSeed(options.seed)
        self.render_mode = "rgb_array"
        lower, upper = self._embodiment.lower, self._embodiment.upper
        self.action_space = spaces.Box(lower, upper, dtype=np.float64)
        state = spaces.Box(-_LARGEST_STATE, _LARGEST_STATE, (len(JOINT_NAMES),), dtype=np.float64)
        self.observation_space = observation_space(state, self._embodiment.cameras, options.images)
        self._begin(options.seed)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """`aloha-viperx` with the cameras asked for: `top` where none are."""
        return self._embodiment

    @property
    def initial_states(self) -> int:
        """None are listed: a seed draws where objects lie."""
        return 0

    @property
    def longest_s(self) -> float:
        """Simulated time after which an episode is cut off."""
        return self._limit_s

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        return self._substeps * float(self._model.opt.timestep)

    @property
    def instruction(self) -> str:
        """The task in words: always the same."""
        return self._scene.instruction

    @property
    def success(self) -> bool:
        """Whether the reward is at its highest now: the cube hangs in the left gripper; the peg touches the pin."""
        return self._reward == SOLVED

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Every camera of the scene, over the table and on the wrists; `front_close` is what ACT calls `vis`."""
        return tuple(self._model.camera(index).name for index in range(self._model.ncam))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode: arms at the package's start, objects where the seed puts them. There are no options.

        Without a seed the first reset uses the one given to `make`, later ones draw from it.
        """
        if options:
            raise ConfigError(f"unknown reset option {sorted(options)}; aloha tasks take none")
        self._begin(self._seeds.of(self, seed))
        return self._pictures.beside(self._state()), self._info()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold a row of joint targets `(14,)` for one control step. Raises `SpecMismatch` for a bad shape or NaN."""
        count = len(JOINT_NAMES)
        action = checked_action(action, count, f"aloha/{self._scene.name} takes {count} finite joint targets")
        self._pictures.move_on()
        self._task.before_step(action, self._physics)
        self._physics.step(self._substeps)
        self._reward = int(self._task.get_reward(self._physics))
        terminated = self.success
        truncated = not terminated and self._data.time >= self._limit_s - self._model.opt.timestep / 2
        return self._pictures.beside(self._state()), float(self._reward), terminated, truncated, self._info()

    def observe(self) -> Observation:
        """The present moment; images render when first read, and only until the next `step` or `reset`."""
        return Observation(
            stamp_s=float(self._data.time),
            state=self._state(),
            images=self._pictures.lazily(),
            instruction=self.instruction,
        )

    def render(self) -> ImageArray:
        """The whole table, `(360, 480, 3)`."""
        return self._pictures.draw(self._model, self._data, FILM_CAMERA, FILM_SIZE)

    def render_camera(self, camera: str) -> ImageArray:
        """A picture from any camera, as large as the policy's. Raises `ConfigError` for one that doesn't exist."""
        if camera not in self.camera_names:
            raise ConfigError(unknown_name("camera", camera, self.camera_names))
        return self._pictures.draw(self._model, self._data, camera, self._options.image_shape)

    def physics_state(self) -> FloatArray:
        """All positions `(nq,)`, arms and objects: what `set_state` takes in another process."""
        return np.array(self._data.qpos)

    def set_state(self, qpos: FloatArray, *, stamp_s: float | None = None) -> None:
        """Mirror another environment of the same task: its positions, and its time. For rendering and sensing only.

        Raises `SpecMismatch` for another length.
        """
        place_positions(f"aloha/{self._scene.name}", self._data, qpos, stamp_s)
        self._pictures.move_on()
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def snapshot(self) -> FloatArray:
        """The present moment, whole: MuJoCo's `mjSTATE_INTEGRATION`."""
        return save_physics(self._model, self._data)

    def restore(self, snapshot: FloatArray, *, restart_clock: bool = False) -> None:
        """Go back to a moment of this environment; what then follows is the same to the bit.

        With `restart_clock` the moment becomes the start of an episode of its own: stamps and time limit count from it.
        """
        self._pictures.move_on()
        load_physics(self._model, self._data, snapshot)
        if restart_clock:
            self._data.time = 0.0
        self._reward = int(self._task.get_reward(self._physics))

    def privileged(self) -> dict[str, Any]:
        """Facts no policy may see at run time: for experts, for auxiliary losses, for tests.

        `object_poses` `(n, 7)`: position in metres and quaternion of each of the scene's objects; `hand_targets`
        `(2, 3)`: where the left and the right hand's are, socket and peg, or the cube for both; `target_position`
        `(3,)`: the right hand's; `command` `(14,)`: what the servos were last sent; `gripped` {side: objects between
        its fingers}; `is_solved`.
        """
        return facts.facts_of(self._scene, self._data) | {
            "gripped": self._grips.gripped(self._data),
            "is_solved": self.success,
        }

    @property
    def privileged_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Those of the facts that recordings keep, with the names of their components."""
        return facts.COLUMNS

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled scene; privileged, for experts."""
        return self._model

    def simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Model and data; the same ones for every episode."""
        return self._model, self._data

    @property
    def scene(self) -> Scene:
        """Which of the two tasks it is; for experts."""
        return self._scene

    def close(self) -> None:
        """Free the renderers. Idempotent."""
        self._pictures.close()

    def _begin(self, seed: int) -> None:
        self._pictures.move_on()
        self._episode_seed, self._reward = seed, 0
        place(self._scene, self._task, self._physics, seed)
        if self._options.settle_steps:
            self._physics.step(self._options.settle_steps * self._substeps)  # the servos hold the start
            self._data.time = 0.0

    def _state(self) -> FloatArray:
        return np.asarray(self._task.get_qpos(self._physics), dtype=np.float64)

    def _info(self) -> dict[str, Any]:
        return {
            "success": self.success,
            "reward_level": self._reward,
            "episode_seed": self._episode_seed,
            "time_s": float(self._data.time),
        }
