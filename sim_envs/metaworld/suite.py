"""Meta-World's list of tasks."""

import importlib.util
from typing import final

from dualsys.errors import ConfigError, ExtraMissing, unknown_name
from dualsys.protocols import Environment
from dualsys.sim_envs.metaworld.sentences import SENTENCES
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.rendering import import_mujoco

PREFIX = "metaworld"


@final
class MetaworldSuite:
    """What the entry point `metaworld` names."""

    def tasks(self) -> tuple[str, ...]:
        """All 50 tasks by full name, the second part being Meta-World's and LeRobot's name for it."""
        return tuple(f"{PREFIX}/{name}" for name in sorted(SENTENCES))

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ConfigError` for another, `ExtraMissing` where Meta-World isn't installed."""
        name = task.removeprefix(f"{PREFIX}/")
        if name not in SENTENCES:
            raise ConfigError(unknown_name("task", task, self.tasks()))
        if importlib.util.find_spec("metaworld") is None:
            raise ExtraMissing(f"{task} needs Meta-World, which is not installed: pip install 'dualsys[metaworld]'")
        import_mujoco()
        from dualsys.sim_envs.fixed_task import FixedTask
        from dualsys.sim_envs.metaworld.sawyer import Sawyer, facts_of

        return FixedTask(facts_of(name), Sawyer(name), options)


SUITE = MetaworldSuite()
