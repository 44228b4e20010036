"""Fetch's list of tasks."""

import importlib.util
from typing import final

from dualsys.errors import ConfigError, ExtraMissing, unknown_name
from dualsys.protocols import Environment
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.rendering import import_mujoco

PREFIX = "fetch"
NAMES = ("pick-and-place", "push", "reach", "slide")


@final
class FetchSuite:
    """What the entry point `fetch` names."""

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return tuple(f"{PREFIX}/{name}" for name in NAMES)

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ConfigError` for another, `ExtraMissing` without gymnasium-robotics."""
        name = task.removeprefix(f"{PREFIX}/")
        if name not in NAMES:
            raise ConfigError(unknown_name("task", task, self.tasks()))
        if importlib.util.find_spec("gymnasium_robotics") is None:
            raise ExtraMissing(f"{task} needs gymnasium-robotics, which is not installed: pip install 'dualsys[fetch]'")
        import_mujoco()
        from dualsys.sim_envs.fetch.arm import FetchArm, facts_of
        from dualsys.sim_envs.fixed_task import FixedTask

        return FixedTask(facts_of(name), FetchArm(name), options)


SUITE = FetchSuite()
