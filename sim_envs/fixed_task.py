"""A task of somebody else's benchmark as an environment of ours: one sentence, one rate, one robot.

The benchmark's own code steps and judges (`Simulation`); what is ours are the pictures, drawn only when asked for, the
episode's length, and what a policy may see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs.actions import checked_action
from dualsys.sim_envs.benchmark_task import Simulation, TaskFacts, embodiment_of, require_its_own
from dualsys.sim_envs.images import turned
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.pictures import Pictures
from dualsys.sim_envs.reset_seed import ResetSeed
from dualsys.sim_envs.spaces import observation_space

PEOPLE_SIZE = (360, 480)
"""Height and width of the picture for people."""
_LARGEST_STATE = 1e10
"""mjMAXVAL: beyond it MuJoCo itself calls a state diverged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """What `FixedTask.snapshot` gives and `FixedTask.restore` takes, of the same environment only."""

    simulation: Any
    steps: int
    success: bool
    episode_seed: int


@final
class FixedTask(gymnasium.Env[dict[str, Any], FloatArray]):
    """One task of a benchmark. An episode is cut off at the horizon; in most benchmarks the first success ends it.

    `info` has what the benchmark says, `success`, `episode_seed` and `time_s`.

    Raises `ConfigError` for an option that the benchmark can't honour.
    """

    def __init__(self, facts: TaskFacts, simulation: Simulation, options: EnvironmentOptions) -> None:
        self._facts, self._simulation, self._options = facts, simulation, options
        require_its_own(facts, options)
        self._cameras = options.cameras or tuple(facts.cameras)[: facts.policy_cameras]
        self._limit = options.episode_steps or facts.episode_steps
        self._embodiment = embodiment_of(facts, self._cameras, options.image_shape)
        self._pictures = Pictures(options, self._cameras, self._handed_out)
        self._steps = 0
        self._success = False
        self._seeds = ResetSeed(options.seed)
        self._episode_seed = options.seed
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(facts.control_hz)}
        self.action_space = spaces.Box(self._embodiment.lower, self._embodiment.upper, dtype=np.float64)
        state = spaces.Box(-_LARGEST_STATE, _LARGEST_STATE, (len(facts.state_names),), dtype=np.float64)
        self.observation_space = observation_space(state, self._embodiment.cameras, options.images)
        self._begin(options.seed, None)

    @property
    def task(self) -> str:
        """Its full name."""
        return self._facts.task

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The benchmark's robot, the same for all its tasks, with the cameras asked for."""
        return self._embodiment

    @property
    def longest_s(self) -> float:
        """Simulated time after which an episode is cut off."""
        return self._limit * self.control_dt_s

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        return 1.0 / self._facts.control_hz

    @property
    def instruction(self) -> str:
        """The task in a sentence, the same in every episode."""
        return self._facts.instruction

    @property
    def success(self) -> bool:
        """Whether the benchmark judges the episode so far a success (`TaskFacts.success_stays`)."""
        return self._success

    @property
    def initial_states(self) -> int:
        """How many initial states the benchmark lists: `reset(options={"initial_state": k})`."""
        return self._facts.initial_states

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Every camera that a policy may have."""
        return tuple(self._facts.cameras)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; the same seed gives the same bits, whatever came before.

        `options` takes `initial_state`, a number of the benchmark's list: the seed then draws nothing that it tells.
        Without a seed the first reset uses the one given to `make`, later ones draw from it. Raises `ConfigError` for
        an unknown option, or a number that isn't in the list.
        """
        self._begin(self._seeds.of(self, seed), self._listed(options or {}))
        return self._pictures.beside(self._simulation.state()), self._info({})

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control step of an action `(nu,)`, clipped to -1 .. 1. Raises `SpecMismatch` for a bad shape or NaN."""
        takes = f"{self.task} takes finite {', '.join(self._facts.action_names)}"
        action = checked_action(action, self._embodiment.num_actions, takes)
        self._pictures.move_on()
        self._steps += 1
        reward, succeeds, said = self._simulation.advance(
            np.clip(action, self._embodiment.lower, self._embodiment.upper)
        )
        stays = self._facts.success_stays
        self._success = succeeds or (stays and self._success)
        terminated = stays and self._success
        truncated = not terminated and self._steps >= self._limit
        return self._pictures.beside(self._simulation.state()), reward, terminated, truncated, self._info(said)

    def observe(self) -> Observation:
        """The present moment; images render when first read, and only until the next `step` or `reset`."""
        return Observation(
            stamp_s=self._steps * self.control_dt_s,
            state=self._simulation.state(),
            images=self._pictures.lazily(),
            instruction=self.instruction,
        )

    def render(self) -> ImageArray:
        """A picture for people `(360, 480, 3)`, from the first of the policy's cameras."""
        return self._draw(self._cameras[0], PEOPLE_SIZE)

    def render_camera(self, camera: str) -> ImageArray:
        """A picture from any of `camera_names`, as large as the policy's, the right way up.

        Raises `ConfigError` for another name, `RenderingError` where the machine cannot render.
        """
        if camera not in self._facts.cameras:
            raise ConfigError(unknown_name("camera", camera, self._facts.cameras))
        return self._draw(camera, self._options.image_shape)

    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, for perturbations."""
        return self._simulation.model, self._simulation.data

    def physics_state(self) -> FloatArray:
        """Enough to draw the scene from: what `set_state` takes in another process."""
        return self._simulation.picture_state()

    def set_state(self, physics: FloatArray, *, stamp_s: float | None = None) -> None:
        """Mirror another environment of the same seed, for rendering and sensing only."""
        self._pictures.move_on()
        self._simulation.mirror(physics)
        if stamp_s is not None:
            self._steps = round(stamp_s / self.control_dt_s)

    def snapshot(self) -> Moment:
        """The present moment, whole."""
        return Moment(
            simulation=self._simulation.save(),
            steps=self._steps,
            success=self._success,
            episode_seed=self._episode_seed,
        )

    def restore(self, snapshot: Moment, *, restart_clock: bool = False) -> None:
        """Go back to a moment of this environment; what then follows is the same to the bit.

        With `restart_clock` the moment becomes the start of an episode of its own.
        """
        self._pictures.move_on()
        self._simulation.load(snapshot.simulation)
        self._steps = 0 if restart_clock else snapshot.steps
        self._success, self._episode_seed = snapshot.success, snapshot.episode_seed

    @property
    def privileged_columns(self) -> Mapping[str, Sequence[str]]:
        """Facts that recordings keep, with the names of their components."""
        return self._facts.columns

    def privileged(self) -> dict[str, FloatArray]:
        """Facts that no policy may see: for experts, for auxiliary losses, for tests."""
        return self._simulation.facts()

    def close(self) -> None:
        """Free the renderers. Idempotent."""
        self._pictures.close()

    def _begin(self, seed: int, initial_state: int | None) -> None:
        self._pictures.move_on()
        self._episode_seed = seed
        before = self._simulation.model
        self._simulation.begin(seed, initial_state)
        if self._simulation.model is not before:
            self._pictures.close()  # the renderers hold the meshes of a scene that is gone
        for _ in range(self._options.settle_steps):
            self._simulation.advance(self._facts.no_action)
        self._steps, self._success = 0, False

    def _listed(self, options: dict[str, Any]) -> int | None:
        """The number of an initial state that a reset asks for."""
        if unknown := set(options) - {"initial_state"}:
            raise ConfigError(unknown_name("reset option", min(unknown), ["initial_state"]))
        asked = options.get("initial_state")
        if asked is not None and not 0 <= asked < self.initial_states:
            has = f"lists {self.initial_states}, from 0" if self.initial_states else "lists none: leave it out"
            raise ConfigError(f"{self.task} has no initial state {asked}: its benchmark {has}")
        return asked

    def _handed_out(self, camera: str) -> ImageArray:
        return turned(self.render_camera(camera), self._facts.handed_out)

    def _draw(self, camera: str, size: tuple[int, int]) -> ImageArray:
        model, hidden = self._simulation.model, self._facts.hidden_groups
        image = self._pictures.draw(model, self._simulation.data, camera, size, hidden_groups=hidden)
        return turned(image, self._facts.cameras[camera])

    def _info(self, said: dict[str, Any]) -> dict[str, Any]:
        own = {"success": self._success, "episode_seed": self._episode_seed}
        return {**said, **own, "time_s": self._steps * self.control_dt_s}
