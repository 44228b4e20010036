"""The humanoid suite's list of tasks, and who demonstrates them."""

from collections.abc import Mapping

from dualsys.protocols import Environment
from dualsys.sim_envs.humanoid.goals import TASKS
from dualsys.sim_envs.humanoid.names import UPPER_BODY, WHOLE_BODY
from dualsys.sim_envs.options import EnvironmentOptions, Phrasing
from dualsys.sim_envs.rendering import import_mujoco

STAND = "humanoid/stand"


class HumanoidSuite:
    """A Unitree G1 with hands: at a table, its pelvis held, or free on its feet."""

    phrasings: tuple[Phrasing, ...] = ("train", "held-out")
    """Splits of its grammar."""

    def __init__(self) -> None:
        """Name the tasks; nothing is compiled yet."""
        self._tasks = {f"humanoid/{task}": task for task in TASKS}

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return (*self._tasks, STAND)

    @property
    def robots(self) -> Mapping[str, str]:
        """By task, the name of the embodiment that it is done with."""
        return {task: WHOLE_BODY if task == STAND else UPPER_BODY for task in self.tasks()}

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one of `tasks()`. Raises `ExtraMissing` where the robot's meshes cannot be had."""
        import_mujoco()
        if task == STAND:
            from dualsys.sim_envs.humanoid.stand import HumanoidStand

            return HumanoidStand(options)
        from dualsys.sim_envs.humanoid.table import HumanoidTable

        return HumanoidTable(options, task=self._tasks[task])


SUITE = HumanoidSuite()
