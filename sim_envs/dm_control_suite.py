"""The 51 tasks of dm_control.suite through our interface: `dm_control/<domain>-<task>`.

Physics, rewards and control rates are the suite's own. A task has no words of its own, so its instruction is its name
("walker: walk"); it has no success either, so an episode succeeds once its return reaches `SUCCESS_RETURN`.
Source: Tunyasuvunakool et al. 2020, dm_control: software and tasks for continuous control (arXiv:2006.12983).
"""

import functools
from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs import rendering
from dualsys.sim_envs.actions import checked_action
from dualsys.sim_envs.images import LazyImages, turned
from dualsys.sim_envs.options import EnvironmentOptions, refuse_options, require_instruction, require_rate
from dualsys.sim_envs.spaces import observation_space

PREFIX = "dm_control"
EPISODE_STEPS = 1000
"""Steps of an episode, as the suite's own protocol has it (its lqr tasks set no limit; here they have this one)."""
SUCCESS_RETURN = 800.0
"""An episode succeeds once its rewards, of at most 1 a step, sum to this."""
NOT_HONOURED = {
    "phrasing": "it has no held-out phrasings, but its name alone",
    "randomization": "it has one look",
    "reset_kind": "a seed loads the task anew, there is one kind",
}
"""Options that no task here can honour, and why."""
_MAX_VALUE = 1e10
"""mjMAXVAL: beyond it MuJoCo itself calls a state diverged."""


@final
class DMControlSuite:
    """What the entry point `dm_control` names."""

    def tasks(self) -> tuple[str, ...]:
        """All 51 tasks by full name."""
        return tuple(sorted(f"{PREFIX}/{domain}-{task}" for domain, task in _suite().ALL_TASKS))

    @property
    def robots(self) -> Mapping[str, str]:
        """By task, the name of its embodiment: each has its own."""
        return {task: task.replace("/", "-") for task in self.tasks()}

    def make(self, task: str, options: EnvironmentOptions) -> "DMControlEnvironment":
        """A task by its full name. Raises `ConfigError` for one that doesn't exist."""
        domain, _, name = task.removeprefix(f"{PREFIX}/").partition("-")
        if (domain, name) not in _suite().ALL_TASKS:
            raise ConfigError(unknown_name("task", task, self.tasks()))
        return DMControlEnvironment(domain, name, options)


SUITE = DMControlSuite()


@functools.cache
def _suite() -> Any:
    # dm_control tries every window system on import, GLFW first and with a warning; ours is the one it may have.
    return rendering.import_drawing("dm_control.suite")


@final
class DMControlEnvironment(gymnasium.Env[dict[str, Any], FloatArray]):
    """One task of dm_control.suite. Actions and states have no unit; there are no rate limits.

    Raises `ConfigError` for a control rate that isn't the task's, and for any choice of words: it has but its name.
    """

    def __init__(self, domain: str, task: str, options: EnvironmentOptions) -> None:
        self._domain, self._task = domain, task
        self._check_choices(options)
        self._options = options
        self._limit = options.episode_steps or EPISODE_STEPS
        self._renderer: rendering.Renderer | None = None
        self._moment = 0
        self._untouched_seed: int | None = None
        self._state: FloatArray = np.zeros(0)
        self._load(options.seed)
        require_rate(f"{PREFIX}/{domain}-{task}", options.control_hz, 1 / self.control_dt_s)
        self._camera = self.camera_names[0]
        if options.cameras not in (None, (self._camera,)):
            raise ConfigError(f"{PREFIX}/{domain}-{task} is seen by {self._camera!r} alone; leave cameras out")
        self._embodiment = self._describe()
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / self.control_dt_s)}
        self.action_space = spaces.Box(self._embodiment.lower, self._embodiment.upper, dtype=np.float64)
        self.observation_space = self._observation_space()

    @property
    def embodiment(self) -> EmbodimentSpec:
        """Actuators as joints of unit "1", flattened observations as state, the model's first camera."""
        return self._embodiment

    @property
    def initial_states(self) -> int:
        """None are listed: a seed draws the start."""
        return 0

    @property
    def longest_s(self) -> float:
        """Simulated time after which an episode is cut off."""
        return self._limit * self.control_dt_s

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`, the suite's own for the domain."""
        return float(self._environment.control_timestep())

    @property
    def instruction(self) -> str:
        """The task's name in words."""
        return f"{self._domain}: {self._task.replace('_', ' ')}"

    @property
    def success(self) -> bool:
        """Whether the episode's return has reached `SUCCESS_RETURN`."""
        return self._return >= SUCCESS_RETURN

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode. A seed loads the task anew, so that nothing of earlier episodes is left."""
        if options:
            raise ConfigError(f"unknown reset option {sorted(options)}; dm_control tasks take none")
        super().reset(seed=seed)
        if seed is not None and seed != self._untouched_seed:
            self._load(seed)
        self._untouched_seed = None
        self._moment += 1
        self._steps, self._return, self._over = 0, 0.0, False
        self._state = _flatten(self._begin().observation)
        return self._observation(), self._info()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply an action `(nu,)` for one control step.

        Raises:
            SpecMismatch: the action has another shape or is not finite.
            gymnasium.error.ResetNeeded: the episode is over, or none was started.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("no episode is running; call reset() before step()")
        expected = self._embodiment.num_actions
        action = checked_action(action, expected, f"{self._embodiment.name} takes {expected} finite numbers")
        moment = self._environment.step(action)
        self._moment += 1
        self._steps += 1
        self._return += float(moment.reward)
        self._state = _flatten(moment.observation)
        terminated = bool(moment.last() and moment.discount == 0.0)
        truncated = not terminated and (bool(moment.last()) or self._steps >= self._limit)
        self._over = terminated or truncated
        return self._observation(), float(moment.reward), terminated, truncated, self._info()

    def observe(self) -> Observation:
        """The present moment; its image renders on first access and only until the next `step` or `reset`."""
        stamp_s = float(self._environment.physics.time())
        return Observation(
            stamp_s=stamp_s,
            state=self._state.copy(),
            images=LazyImages((self._camera,), self._policy_image, lambda: self._moment),
            image_stamps_s={self._camera: stamp_s},
            instruction=self.instruction,
        )

    def simulation(self) -> tuple[Any, Any]:
        """What perturbations change."""
        return self._environment.physics.model.ptr, self._environment.physics.data.ptr

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Every camera of the model; the policy sees the first."""
        model = self._environment.physics.model.ptr
        return tuple(model.camera(index).name for index in range(model.ncam))

    def render(self) -> ImageArray:
        """The model's first camera, as large as the policy's, uint8 RGB."""
        return self.render_camera(self._camera)

    def render_camera(self, camera: str) -> ImageArray:
        """A picture from any camera of the model, as large as the policy's.

        Raises `ConfigError` for a camera that doesn't exist.
        """
        physics = self._environment.physics
        if camera not in self.camera_names:
            raise ConfigError(unknown_name("camera", camera, self.camera_names))
        if self._renderer is None:
            height, width = self._options.image_shape
            self._renderer = rendering.Renderer(physics.model.ptr, height=height, width=width)
        return self._renderer.render(physics.data.ptr, camera)

    def close(self) -> None:
        """Free the renderer. Idempotent."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _load(self, seed: int) -> None:
        self.close()
        # The seed goes in on loading: lqr draws its very model from it.
        arguments: dict[str, Any] = {"random": seed}
        if self._limit > EPISODE_STEPS or self._options.settle_steps:
            arguments["time_limit"] = float("inf")  # the suite's own would cut in
        self._environment = _suite().load(self._domain, self._task, task_kwargs=arguments)
        self._untouched_seed = seed
        self._steps, self._return, self._over = 0, 0.0, True
        self._state = np.zeros(len(_state_names(self._environment.observation_spec())))

    def _begin(self) -> Any:
        """The first moment of an episode: after a reset, and after the steps without action that were asked for."""
        moment = self._environment.reset()
        if self._options.settle_steps:
            still = np.clip(0.0, self._embodiment.lower, self._embodiment.upper)
            for _ in range(self._options.settle_steps):
                moment = self._environment.step(still)
            self._environment.physics.data.time = 0.0
        return moment

    def _policy_image(self, camera: str) -> ImageArray:
        return turned(self.render_camera(camera), self._options.image_turn)

    def _check_choices(self, options: EnvironmentOptions) -> None:
        name = f"{PREFIX}/{self._domain}-{self._task}"
        require_instruction(name, options.instruction, self.instruction)
        refuse_options(name, options, NOT_HONOURED)

    def _describe(self) -> EmbodimentSpec:
        model = self._environment.physics.model.ptr
        action = self._environment.action_spec()
        joints = tuple(
            Joint(
                name=model.actuator(index).name or f"actuator_{index}",
                lower=float(action.minimum[index]),
                upper=float(action.maximum[index]),
                unit="1",
            )
            for index in range(model.nu)
        )
        height, width = self._options.image_shape
        return EmbodimentSpec(
            name=f"{PREFIX}-{self._domain}-{self._task}",
            joints=joints,
            state_names=_state_names(self._environment.observation_spec()),
            cameras=(CameraSpec(name=self._camera, height=height, width=width),),
        )

    def _observation_space(self) -> spaces.Dict:
        state = spaces.Box(-_MAX_VALUE, _MAX_VALUE, (self._embodiment.num_states,), dtype=np.float64)
        return observation_space(state, self._embodiment.cameras, self._options.images)

    def _observation(self) -> dict[str, Any]:
        observation: dict[str, Any] = {"state": self._state.copy()}
        if self._options.images == "observation":
            observation["images"] = {self._camera: self._policy_image(self._camera)}
        return observation

    def _info(self) -> dict[str, Any]:
        return {"success": self.success, "return": self._return, "instruction": self.instruction}


def _flatten(observation: dict[str, Any]) -> FloatArray:
    return np.concatenate([np.asarray(value, dtype=np.float64).ravel() for value in observation.values()])


def _state_names(specs: dict[str, Any]) -> tuple[str, ...]:
    names: list[str] = []
    for key, spec in specs.items():
        size = int(np.prod(spec.shape))
        names += [key] if spec.shape == () else [f"{key}_{index}" for index in range(size)]
    return tuple(names)
