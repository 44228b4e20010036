"""Which expert demonstrates which task."""

from typing import Any

from dualsys import sim_envs
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.recording import Demonstrator
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray
from dualsys.protocols import Environment
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import TASKS
from dualsys.sim_envs.humanoid.palette import COLOURS

BLOCK_NAMES = tuple(sorted(COLOURS))
"""Order of `privileged.block_positions`."""

EXPERTS: dict[str, Any] = {f"humanoid/{task}": TableExpert for task in TASKS}


class _Scripted:
    """An expert of `sim_envs` bound to its environment."""

    def __init__(self, environment: Any, expert: Any, noise_rad: float) -> None:
        self._environment, self._expert = environment, expert
        self._noise = ExecutionNoise(noise_rad, environment.control_dt_s)

    @property
    def name(self) -> str:
        return type(self._expert).__name__

    def reset(self, *, seed: int) -> None:
        self._expert.reset()
        self._noise.reset(seed)

    def act(self) -> tuple[FloatArray, FloatArray]:
        clean = self._expert.act(self._environment)
        return clean, self._noise.push(clean)


def expert_for(task: str, environment: Any, noise_rad: float) -> Demonstrator:
    """The expert of a task, bound to its environment. Raises `ConfigError` for a task nobody demonstrates."""
    return _Scripted(environment, _expert_class(task)(environment), noise_rad)


def make_workplace(config: WorkplaceConfig) -> tuple[Environment, Demonstrator]:
    """An environment and its expert. Raises `ConfigError` for a task nobody demonstrates, or a camera it has not."""
    _expert_class(config.task)  # refused before the scene is built
    environment = sim_envs.make(
        config.task,
        images="on-demand",
        image_size=config.image_size,
        cameras=config.cameras,
        randomization=config.randomization,
        control_hz=50.0,
    )
    return environment, expert_for(config.task, environment, config.noise_rad)


def _expert_class(task: str) -> Any:
    if task not in EXPERTS:
        raise ConfigError(unknown_name("demonstrated task", task, EXPERTS))
    return EXPERTS[task]
