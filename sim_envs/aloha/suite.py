"""The ALOHA suite's list of tasks."""

from dualsys.protocols import Environment
from dualsys.sim_envs.options import EnvironmentOptions


class AlohaSuite:
    """The simulated ALOHA of Zhao et al. 2023, as the package gym-aloha has it."""

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return ("aloha/transfer-cube", "aloha/insertion")

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ExtraMissing` where gym-aloha is not installed."""
        from dualsys.sim_envs.aloha.bimanual import BimanualTable
        from dualsys.sim_envs.aloha.scenes import scene_named

        return BimanualTable(scene_named(task.removeprefix("aloha/")), options)


SUITE = AlohaSuite()
