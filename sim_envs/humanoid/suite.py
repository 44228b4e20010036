"""The humanoid suite's list of tasks."""

from collections.abc import Callable

from dualsys.protocols import Environment
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.rendering import import_mujoco


def _touch(options: EnvironmentOptions) -> Environment:
    import_mujoco()
    from dualsys.sim_envs.humanoid.touch import HumanoidTouch

    return HumanoidTouch(options)


class HumanoidSuite:
    """A Unitree G1 with hands at a table."""

    def __init__(self) -> None:
        """Name the tasks; nothing is compiled yet."""
        self._factories: dict[str, Callable[[EnvironmentOptions], Environment]] = {"humanoid/touch": _touch}

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return tuple(self._factories)

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ExtraMissing` where the robot's meshes cannot be had."""
        return self._factories[task](options)


SUITE = HumanoidSuite()
