"""The task `humanoid/stand`: a G1 with a free pelvis keeps its balance while something pushes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs.actions import checked_action
from dualsys.sim_envs.humanoid.pushes import pushed_by
from dualsys.sim_envs.humanoid.scene import HEAD_CAMERA, SCENE_CAMERA, TIMESTEP_S, steps_between
from dualsys.sim_envs.humanoid.stand_episode import StandEpisode, draw_stand_episode
from dualsys.sim_envs.humanoid.standing_scene import FEET, build_model, camera_specs, place_at_rest
from dualsys.sim_envs.humanoid.whole_body import JOINT_NAMES, Body, embodiment_of
from dualsys.sim_envs.options import EnvironmentOptions, refuse_options
from dualsys.sim_envs.physics_state import load_physics, place_positions, save_physics
from dualsys.sim_envs.pictures import Pictures
from dualsys.sim_envs.reset_seed import ResetSeed
from dualsys.sim_envs.spaces import observation_space

TASK = "humanoid/stand"
CONTROL_HZ = 50.0
STAND_S = 10.0
"""How long it is to stand; pushes come every two seconds of it."""
FALLEN_HEIGHT_M, FALLEN_UP = 0.6, 0.7
"""A pelvis lower than this, or whose axis points less upwards, belongs to a robot that falls. It stands at 0.77 m."""
SCENE_SIZE = (360, 480)
_LARGEST_STATE = 1e10
"""mjMAXVAL: beyond it MuJoCo itself calls a state diverged."""
_ONE_WAY = {
    "reset_kind": "a reset sets the whole scene, there is one kind",
    "randomization": "it has one look",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What `snapshot` gives and `restore` takes, of the same environment only."""

    physics: FloatArray
    episode: StandEpisode
    episode_seed: int
    stood: bool
    fell: bool


@final
class HumanoidStand(gymnasium.Env[dict[str, Any], FloatArray]):
    """A Unitree G1 that is to stay on its feet for ten seconds.

    Actions are rows of 43 joint positions (rad), clipped to the joints' ranges. `info` has `success`, `failure`
    (`fell`, or None), `episode_seed` and `time_s`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  # gymnasium's

    def __init__(self, options: EnvironmentOptions | None = None) -> None:
        """Compile the scene. Raises `ConfigError` for an option that the task can't honour."""
        self._options = options = options or EnvironmentOptions()
        refuse_options(TASK, options, _ONE_WAY)
        self._substeps = steps_between(options.control_hz or CONTROL_HZ)
        self.render_mode = "rgb_array"
        self._model = build_model()
        self._data = mujoco.MjData(self._model)
        self._body = Body(self._model)
        self._cameras = options.cameras or (HEAD_CAMERA,)
        self._embodiment = embodiment_of(self._model, camera_specs(self._cameras, options.image_shape))
        self._limit_s = STAND_S if options.episode_steps is None else options.episode_steps * self.control_dt_s
        self._pictures = Pictures(options, self._cameras, self.render_camera)
        self._episode: StandEpisode
        self._seeds = ResetSeed(options.seed)
        self.action_space = spaces.Box(self._embodiment.lower, self._embodiment.upper, dtype=np.float64)
        state = spaces.Box(-_LARGEST_STATE, _LARGEST_STATE, (self._embodiment.num_states,), dtype=np.float64)
        self.observation_space = observation_space(state, self._embodiment.cameras, options.images)
        self._begin(options.seed, options.instruction)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """`unitree-g1` with the cameras asked for: the head's where none are."""
        return self._embodiment

    @property
    def initial_states(self) -> int:
        """None are listed: a seed draws the pushes."""
        return 0

    @property
    def longest_s(self) -> float:
        """Simulated time after which an episode is cut off."""
        return self._limit_s

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        return self._substeps * TIMESTEP_S

    @property
    def instruction(self) -> str:
        """What to do in this episode."""
        return self._episode.instruction

    @property
    def success(self) -> bool:
        """Whether it has stood for as long as it was to; a fall afterwards takes nothing back."""
        return self._stood

    @property
    def camera_names(self) -> tuple[str, ...]:
        """`head`, on the torso, and `scene` for people."""
        return (HEAD_CAMERA, SCENE_CAMERA)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; the same seed gives the same bits. `options` takes `instruction`.

        Without a seed the first reset uses the one given to `make`, later ones draw from it.
        """
        options = options or {}
        if unknown := set(options) - {"instruction"}:
            raise ConfigError(unknown_name("reset option", min(unknown), ["instruction"]))
        self._begin(self._seeds.of(self, seed), options.get("instruction", self._options.instruction))
        return self._pictures.beside(self._body.state(self._data)), self._info()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold a row of joint positions `(43,)` for one control step. Raises `SpecMismatch` for a bad shape or NaN."""
        count = len(JOINT_NAMES)
        action = checked_action(action, count, f"{TASK} takes {count} finite joint positions")
        self._pictures.move_on()
        self._data.ctrl[self._body.actuators] = np.clip(action, self._embodiment.lower, self._embodiment.upper)
        for _ in range(self._substeps):
            with pushed_by(self._episode.pushes, self._model, self._data):
                mujoco.mj_step(self._model, self._data)
        self._judge()
        seen = self._pictures.beside(self._body.state(self._data))
        return seen, float(self._stood), self._stood or self._fell, False, self._info()

    def observe(self) -> Observation:
        """The present moment; images render when first read, and only until the next `step` or `reset`."""
        return Observation(
            stamp_s=float(self._data.time),
            state=self._body.state(self._data),
            images=self._pictures.lazily(),
            instruction=self.instruction,
        )

    def render(self) -> ImageArray:
        """The scene camera's picture `(360, 480, 3)`."""
        return self.render_camera(SCENE_CAMERA)

    def render_camera(self, camera: str) -> ImageArray:
        """A picture from `head` (`image_size`) or `scene` (360 x 480). Raises `ConfigError` for another."""
        if camera not in self.camera_names:
            raise ConfigError(unknown_name("camera", camera, self.camera_names))
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        size = SCENE_SIZE if camera == SCENE_CAMERA else self._options.image_shape
        return self._pictures.draw(self._model, self._data, camera, size)

    def physics_state(self) -> FloatArray:
        """All positions `(nq,)`: what `set_state` takes in another process."""
        return np.array(self._data.qpos)

    def set_state(self, qpos: FloatArray, *, stamp_s: float | None = None) -> None:
        """Mirror another environment, for rendering and sensing only. Raises `SpecMismatch` for another length."""
        place_positions(TASK, self._data, qpos, stamp_s)
        self._pictures.move_on()

    def snapshot(self) -> Snapshot:
        """The present moment, whole."""
        return Snapshot(
            physics=save_physics(self._model, self._data),
            episode=self._episode,
            episode_seed=self._episode_seed,
            stood=self._stood,
            fell=self._fell,
        )

    def restore(self, snapshot: Snapshot, *, restart_clock: bool = False) -> None:
        """Go back to a moment of this environment; what then follows is the same to the bit.

        With `restart_clock` the moment becomes the start of an episode of its own: time and pushes count from it.
        """
        self._pictures.move_on()
        self._episode, self._episode_seed = snapshot.episode, snapshot.episode_seed
        self._stood, self._fell = snapshot.stood, snapshot.fell
        load_physics(self._model, self._data, snapshot.physics)
        if restart_clock:
            self._data.time = 0.0

    def privileged(self) -> dict[str, Any]:
        """Facts no policy may see: for experts, for auxiliary losses, for tests.

        `pelvis_position` `(3,)`; `mass_over_feet_m` `(2,)`: from the middle of the feet to the middle of the mass,
        level; `positions` `(50,)` and `velocities` `(49,)` of the whole physics; `command` `(43,)`; `home` `(43,)`:
        the posture it started in.
        """
        data, base = self._data, self._body.base_position
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        feet = np.mean([data.xipos[self._model.body(name).id] for name in FEET], axis=0)
        return {
            "pelvis_position": np.array(data.qpos[base : base + 3]),
            "mass_over_feet_m": np.array(data.subtree_com[self._body.pelvis] - feet)[:2],
            "positions": np.array(data.qpos),
            "velocities": np.array(data.qvel),
            "command": np.array(data.ctrl[self._body.actuators]),
            "home": self._episode.posture.copy(),
        }

    @property
    def privileged_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Those of the facts that recordings keep, with the names of their components."""
        return {"pelvis_position": ("x_m", "y_m", "z_m"), "mass_over_feet_m": ("x_m", "y_m")}

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled scene; privileged, for experts."""
        return self._model

    def simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """What perturbations change."""
        return self._model, self._data

    def close(self) -> None:
        """Free the renderers. Idempotent."""
        self._pictures.close()

    def _judge(self) -> None:
        if self._stood or self._fell:
            return
        up = self._body.up(self._data)[2]
        self._fell = bool(self._body.height(self._data) < FALLEN_HEIGHT_M or up < FALLEN_UP)
        self._stood = not self._fell and self._data.time >= self._limit_s - TIMESTEP_S / 2

    def _begin(self, seed: int, instruction: str | None) -> None:
        self._pictures.move_on()
        self._episode_seed = seed
        self._episode = draw_stand_episode(seed, phrasing=self._options.phrasing, instruction=instruction)
        self._stood = self._fell = False
        place_at_rest(self._model, self._data, self._body)
        self._data.qpos[self._body.positions] += self._episode.posture - self._data.ctrl[self._body.actuators]
        self._data.ctrl[self._body.actuators] = self._episode.posture
        mujoco.mj_forward(self._model, self._data)
        if self._options.settle_steps:
            mujoco.mj_step(self._model, self._data, self._options.settle_steps * self._substeps)
            self._data.time = 0.0

    def _info(self) -> dict[str, Any]:
        failure = "fell" if self._fell else None
        own = {"success": self._stood, "failure": failure, "episode_seed": self._episode_seed}
        return {**own, "time_s": float(self._data.time)}
