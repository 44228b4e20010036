"""LIBERO's list of tasks."""

from typing import final

from dualsys.protocols import Environment
from dualsys.sim_envs.libero import benchmark
from dualsys.sim_envs.libero.tasks import NAMES, task_called
from dualsys.sim_envs.options import EnvironmentOptions


@final
class LiberoSuite:
    """What the entry point `libero` names: 130 tasks, such as `libero/spatial-0`."""

    def tasks(self) -> tuple[str, ...]:
        """Full names; known without the benchmark."""
        return NAMES

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ExtraMissing` where the benchmark isn't installed."""
        benchmark.require()
        from dualsys.sim_envs.fixed_task import FixedTask
        from dualsys.sim_envs.libero.panda import facts_of
        from dualsys.sim_envs.libero.simulation import LiberoSimulation

        which = task_called(task)
        simulation = LiberoSimulation(which, options.reset_kind or "soft")
        return FixedTask(facts_of(which, simulation), simulation, options)


SUITE = LiberoSuite()
