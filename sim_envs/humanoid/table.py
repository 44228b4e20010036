"""The tasks of the humanoid suite: a G1 at a table, told what to do with which blocks.

All are this one environment: `layout.py` draws, `goals.py` says what is asked for, `judge.py` whether it is done.
"""

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np

from dualsys.clearance import Boxes, Clearance
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs.actions import checked_action
from dualsys.sim_envs.humanoid import facts, scene
from dualsys.sim_envs.humanoid.body_clearance import body_clearance
from dualsys.sim_envs.humanoid.contacts import TouchDetector
from dualsys.sim_envs.humanoid.goals import SIDES, Side, TaskName, about_others
from dualsys.sim_envs.humanoid.judge import TIME_LIMIT_S, Judge
from dualsys.sim_envs.humanoid.layout import ARM_POSTURE_SPREAD_RAD, Episode, draw_episode, home_for
from dualsys.sim_envs.humanoid.robot import JOINT_NAMES, embodiment_of
from dualsys.sim_envs.humanoid.snapshot import Snapshot, load_physics, save_physics
from dualsys.sim_envs.humanoid.stage import Stage
from dualsys.sim_envs.options import EnvironmentOptions, refuse_options
from dualsys.sim_envs.physics_state import place_positions
from dualsys.sim_envs.pictures import Pictures
from dualsys.sim_envs.reset_seed import ResetSeed
from dualsys.sim_envs.spaces import observation_space

CONTROL_HZ = 50.0
"""Rate of `step` where none is asked for."""
SCENE_SIZE = (360, 480)
STATE_MARGIN_RAD = 1.0
RESET_OPTIONS = ("instruction", "posture_spread_rad")


class HumanoidTable(gymnasium.Env[dict[str, Any], FloatArray]):
    """A Unitree G1 at a table, told in words which blocks to touch or to pick up, and with which hand.

    Actions are rows of 28 joint positions (rad), clipped to the joints' ranges. `info` has `success`, `failure` (why an
    episode ended without, or None), `touched`, `lifted` (the first block's colour, or None), `lifted_by` (hand or
    None), `target` (colour of the block that is asked for now, of the first where there are two), `goals_done`,
    `num_blocks`, `episode_seed` and `time_s`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  # gymnasium's

    def __init__(self, options: EnvironmentOptions | None = None, *, task: TaskName = "touch") -> None:
        """Compile the scene (about 0.1 s; the first time on a machine the robot's meshes are prepared, some seconds).

        Raises `ConfigError` for a control rate that physics steps don't divide, or an instruction without a known
        colour; `ExtraMissing` where the robot's meshes cannot be had.
        """
        self._options = options = options or EnvironmentOptions()
        self._task = task
        refuse_options(f"humanoid/{task}", options, {"reset_kind": "a reset sets the whole scene, there is one kind"})
        self._substeps = scene.steps_between(options.control_hz or CONTROL_HZ)
        self.render_mode = "rgb_array"
        self._model = scene.build_model()
        self._data = mujoco.MjData(self._model)
        self._stage = Stage(self._model, self._data)
        self._detector = TouchDetector(self._model)
        self._cameras = options.cameras or (scene.HEAD_CAMERA,)
        self._embodiment = embodiment_of(self._model, scene.camera_specs(self._cameras, options.image_shape))
        self._joints = np.array([self._model.joint(name).qposadr[0] for name in JOINT_NAMES], dtype=np.intp)
        self._actuators = np.array([self._model.actuator(name).id for name in JOINT_NAMES], dtype=np.intp)
        self._lower, self._upper = self._embodiment.lower, self._embodiment.upper
        steps = options.episode_steps
        self._limit_s = TIME_LIMIT_S[task] if steps is None else steps * self.control_dt_s
        self._pictures = Pictures(options, self._cameras, self.render_camera)
        self._gripped: dict[Side, list[str]] | None = None
        self._episode: Episode
        self._seeds = ResetSeed(options.seed)
        self._episode_seed = options.seed
        self.action_space = gymnasium.spaces.Box(self._lower, self._upper, dtype=np.float64)
        self.observation_space = self._make_observation_space()
        self._begin(options.seed, options.instruction, ARM_POSTURE_SPREAD_RAD)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """`unitree-g1-upper` with the cameras asked for: the head's where none are."""
        return self._embodiment

    @property
    def initial_states(self) -> int:
        """None are listed: a seed draws the scene."""
        return 0

    @property
    def longest_s(self) -> float:
        """Simulated time after which an episode is cut off."""
        return self._limit_s

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        return self._substeps * scene.TIMESTEP_S

    @property
    def instruction(self) -> str:
        """What to do in this episode."""
        return self._episode.instruction

    def another_instruction(self, rng: np.random.Generator) -> str:
        """The episode's words about other blocks of the scene."""
        return about_others(self.instruction, [block.colour for block in self._episode.blocks], rng)

    @property
    def success(self) -> bool:
        """Whether all that was asked for is done."""
        return self._judge.success

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Every camera `render` can use: those a policy may have, and `scene` for people."""
        return (*scene.POLICY_CAMERAS, scene.SCENE_CAMERA)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; the same seed gives the same bits.

        `options` takes `instruction` (text: overrides the episode's words and its target) and `posture_spread_rad` (how
        far arm joints may start from home). Without a seed the first reset uses the one given to `make`, later ones
        draw from it. Raises `ConfigError` for unknown options or colours.
        """
        options = options or {}
        if unknown := set(options) - set(RESET_OPTIONS):
            raise ConfigError(unknown_name("reset option", min(unknown), RESET_OPTIONS))
        spread = float(options.get("posture_spread_rad", ARM_POSTURE_SPREAD_RAD))
        self._begin(self._seeds.of(self, seed), options.get("instruction", self._options.instruction), spread)
        return self._pictures.beside(self._state()), self._info()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold a row of joint positions `(28,)` for one control step. Raises `SpecMismatch` for a bad shape or NaN."""
        count = len(JOINT_NAMES)
        action = checked_action(action, count, f"humanoid/{self._task} takes {count} finite joint positions")
        self._pictures.move_on()
        self._gripped = None
        self._data.ctrl[self._actuators] = np.clip(action, self._lower, self._upper)
        for _ in range(self._substeps):
            self._stage.advance()
            self._judge.look(self._data)
        self._judge.decide(self._data, self._stage.block_positions(), float(self._data.time))
        terminated = self._judge.is_over
        truncated = not terminated and self._data.time >= self._limit_s - scene.TIMESTEP_S / 2
        return self._pictures.beside(self._state()), float(self.success), terminated, truncated, self._info()

    def observe(self) -> Observation:
        """The present moment; images render when first read, and only until the next `step` or `reset`."""
        stamp_s, images = float(self._data.time), self._pictures.lazily()
        return Observation(stamp_s=stamp_s, state=self._state(), images=images, instruction=self.instruction)

    def render(self) -> ImageArray:
        """The scene camera's picture `(360, 480, 3)`."""
        return self.render_camera(scene.SCENE_CAMERA)

    def render_camera(self, camera: str) -> ImageArray:
        """A picture from a policy's camera (`image_size`) or `scene` (360 x 480).

        Raises `ConfigError` for another name, `RenderingError` where the machine cannot render.
        """
        if camera not in self.camera_names:
            raise ConfigError(unknown_name("camera", camera, self.camera_names))
        self._stage.place_geometry()
        size = SCENE_SIZE if camera == scene.SCENE_CAMERA else self._options.image_shape
        return self._pictures.draw(self._model, self._data, camera, size)

    def physics_state(self) -> FloatArray:
        """All positions `(nq,)`, robot and blocks: what `set_state` takes in another process."""
        return np.array(self._data.qpos)

    def set_state(self, qpos: FloatArray, *, stamp_s: float | None = None) -> None:
        """Mirror another environment of the same seed and instruction: its positions, and its time.

        For rendering and sensing only; velocities are left as they are. Raises `SpecMismatch` for another length.
        """
        place_positions(f"humanoid/{self._task}", self._data, qpos, stamp_s)
        self._pictures.move_on()

    def snapshot(self) -> Snapshot:
        """The present moment, whole: positions, velocities, the solver's warm start, what has been judged so far."""
        return Snapshot(
            physics=save_physics(self._model, self._data),
            episode=self._episode,
            episode_seed=self._episode_seed,
            judge=copy.copy(self._judge),
            gripped=self._gripped_now(),
        )

    def restore(self, snapshot: Snapshot, *, restart_clock: bool = False) -> None:
        """Go back to a moment of this environment; what then follows is the same to the bit.

        With `restart_clock` the moment becomes the start of an episode of its own: stamps and time limit count from it.
        """
        self._pictures.move_on()
        self._episode, self._episode_seed = snapshot.episode, snapshot.episode_seed
        self._stage.set(self._episode)
        self._judge = copy.copy(snapshot.judge)
        load_physics(self._model, self._data, snapshot.physics)
        self._gripped = snapshot.gripped
        if restart_clock:
            self._data.time = 0.0
            self._judge.restart_clock()

    def privileged(self) -> dict[str, Any]:
        """Facts no policy may see at run time: for experts, for auxiliary losses, for tests.

        `target_position` `(3,)` and `blocks` {colour: `(3,)`}: centres of the blocks now, metres in the world;
        `block_positions` `(6, 3)`: the same by colour in alphabetical order, NaN for an absent one; `target`: colour
        of the block that is asked for now, of the first where there are two; `hands` {side: (verb, colour) or None}:
        what each hand is to do now; `gripped` {side: colours between its thumb and the rest of it}; `hand_targets`
        `(2, 3)`: places of the left and the right hand's block, NaN for none; `touched`: colour or None; `is_over`;
        `command` `(28,)`: what the servos were last sent; `home` `(28,)`: posture hands rest in.
        """
        return facts.facts_of(self._judge, self._stage.block_positions()) | {
            "gripped": self._gripped_now(),
            "command": np.array(self._data.ctrl[self._actuators]),
            "home": home_for(self._episode.goals).copy(),
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
        """What perturbations change."""
        return self._model, self._data

    def clearance(self, boxes: Boxes = ()) -> Clearance:
        """How near arms are to the trunk, each other and the table, and points to borders of boxes: for the gate."""
        return body_clearance(self._model, boxes)

    def close(self) -> None:
        """Free the renderers. Idempotent."""
        self._pictures.close()

    def _gripped_now(self) -> dict[Side, list[str]]:
        """Colours of the blocks between each hand's thumb and the rest of it, looked at once a step at most."""
        if self._gripped is None:
            colours = [block.colour for block in self._episode.blocks]
            found = {side: self._detector.blocks_gripped(self._data, side) for side in SIDES}
            self._gripped = {side: [colours[index] for index in found[side]] for side in SIDES}
        return {side: list(colours) for side, colours in self._gripped.items()}

    def _begin(self, seed: int, instruction: str | None, posture_spread_rad: float) -> None:
        self._pictures.move_on()
        self._gripped = None
        self._episode_seed = seed
        self._episode = draw_episode(
            seed,
            task=self._task,
            phrasing=self._options.phrasing,
            instruction=instruction,
            posture_spread_rad=posture_spread_rad,
            randomization=self._options.randomization,
        )
        self._judge = Judge(self._episode, self._detector)
        self._stage.set(self._episode)
        posture = np.clip(self._episode.posture, self._lower, self._upper)
        self._data.qpos[self._joints] = self._data.ctrl[self._actuators] = posture
        mujoco.mj_forward(self._model, self._data)
        if self._options.settle_steps:
            mujoco.mj_step(self._model, self._data, self._options.settle_steps * self._substeps)
            self._data.time = 0.0

    def _state(self) -> FloatArray:
        return np.array(self._data.qpos[self._joints])

    def _info(self) -> dict[str, Any]:
        return facts.info_of(self._judge, self._episode, self._episode_seed, float(self._data.time))

    def _make_observation_space(self) -> gymnasium.spaces.Dict:
        state = gymnasium.spaces.Box(self._lower - STATE_MARGIN_RAD, self._upper + STATE_MARGIN_RAD, dtype=np.float64)
        return observation_space(state, self._embodiment.cameras, self._options.images)
