"""A task and who demonstrates it."""

from collections.abc import Sequence

from dualsys import registry, sim_envs
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.recording import Demonstrator
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.protocols import Environment, Expert
from dualsys.sim_envs.perturbations.perturbed import truth_of


class _PushedExpert:
    """An expert whose targets are pushed off its path on their way to the robot."""

    def __init__(self, expert: Expert, noise: ExecutionNoise) -> None:
        self._expert, self._noise = expert, noise

    @property
    def name(self) -> str:
        return type(self._expert).__name__

    def reset(self, *, seed: int) -> None:
        self._expert.reset()
        self._noise.reset(seed)

    def act(self) -> tuple[FloatArray, FloatArray]:
        clean = self._expert.act()
        return clean, self._noise.push(clean)


def expert_for(task: str, environment: Environment, noise_rad: float) -> Demonstrator:
    """The expert of a task's suite, bound to its environment. Raises `ConfigError` for a task nobody demonstrates.

    Where the environment is perturbed, to the one inside: an expert is told the truth.
    """
    require_expert(task)
    expert: Expert = registry.load("experts", _suite_of(task))(truth_of(environment))
    return _PushedExpert(expert, ExecutionNoise(noise_rad, environment.control_dt_s))


def make_workplace(config: WorkplaceConfig) -> tuple[Environment, Demonstrator]:
    """An environment and its expert. Raises `ConfigError` for a task nobody demonstrates, or a camera it has not."""
    require_expert(config.task)
    environment = sim_envs.make(
        config.task,
        images="on-demand",
        image_size=config.image_size,
        cameras=config.cameras,
        image_turn=config.image_turn,
        randomization=config.randomization,
        perturbations=config.perturb,
    )
    return environment, expert_for(config.task, environment, config.noise_rad)


def shown_tasks(tasks: Sequence[str]) -> tuple[str, ...]:
    """Those of a suite's tasks that its expert solves, all where it doesn't tell which (`tasks`), with one robot.

    A dataset is of one robot: of the one that most of the tasks are done with, where the suite says so.
    """
    known = _solved_tasks(tasks)
    robots = [sim_envs.robot_of(task) for task in known]
    usual = max(dict.fromkeys(robots), key=robots.count, default=None)
    return tuple(task for task, robot in zip(known, robots, strict=True) if robot == usual)


def _solved_tasks(tasks: Sequence[str]) -> tuple[str, ...]:
    suite = _suite_of(tasks[0])
    if suite not in registry.names("experts"):
        return tuple(tasks)
    known: Sequence[str] = getattr(registry.load("experts", suite), "tasks", tasks)
    return tuple(task for task in tasks if task in known)


def require_expert(task: str) -> None:
    """Before a scene is built: raise `ConfigError` for an unknown suite, or one that nobody demonstrates."""
    suite, experts = _suite_of(task), registry.names("experts")
    if suite in sim_envs.suites() and suite not in experts:
        raise ConfigError(
            f"nobody demonstrates {task}: no expert is registered for the suite {suite!r}, only for "
            f"{', '.join(experts)}; offer yours as an entry point {suite!r} of the group dualsys.experts"
        )


def _suite_of(task: str) -> str:
    return task.partition("/")[0]
