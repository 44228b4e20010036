"""The humanoid suite's list of tasks."""

from dualsys.protocols import Environment
from dualsys.sim_envs.humanoid.goals import TASKS
from dualsys.sim_envs.options import EnvironmentOptions, Phrasing
from dualsys.sim_envs.rendering import import_mujoco


class HumanoidSuite:
    """A Unitree G1 with hands at a table."""

    phrasings: tuple[Phrasing, ...] = ("train", "held-out")
    """Splits of its grammar."""

    def __init__(self) -> None:
        """Name the tasks; nothing is compiled yet."""
        self._tasks = {f"humanoid/{task}": task for task in TASKS}

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return tuple(self._tasks)

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ExtraMissing` where the robot's meshes cannot be had."""
        import_mujoco()
        from dualsys.sim_envs.humanoid.table import HumanoidTable

        return HumanoidTable(options, task=self._tasks[task])


SUITE = HumanoidSuite()
