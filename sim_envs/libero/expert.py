"""The scripted expert of LIBERO's pick-and-place tasks: from above, one object of the goal after the other.

It looks into the simulator: what the goal asks for, where the shapes of all things are. The benchmark ships no expert
and no demonstrations; goals that open, close or turn something are beyond this one.
"""

from typing import Any, Protocol, final

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.sim_envs.libero.errand import Errand
from dualsys.sim_envs.libero.panda import IDLE
from dualsys.sim_envs.libero.tasks import PREFIX, Fact, task_called

SETTLE_STEPS = 10
"""Things fall into place at first, as the benchmark has them."""
_SOLVED = {
    "spatial": tuple(range(10)),
    "object": tuple(range(10)),
    "goal": (1, 2, 4, 6, 8, 9),
    "10": (0, 1, 4, 5, 6, 7),
    "90": (
        *(2, 9, 10, 12, 14, 15, 16, 17, 18, 24, 25, 26, 27, 29, 30, 34, 36, 37, 41, 43),
        *range(46, 73),
        *(74, 76, 77, 79, 80, 82, 83, 85, 87),
    ),
}
"""Tasks by suite that only ask to pick things up and place them, and that it was seen to solve."""


class LiberoTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def task(self) -> str:
        """Its full name."""
        ...

    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, current until the next reset."""
        ...

    def privileged(self) -> dict[str, FloatArray]:
        """`goal_holds`: for each fact of the goal, whether it does now."""
        ...


@final
class LiberoExpert:
    """Gives the next row of actions for an environment's present moment. `reset` it with each episode."""

    tasks = tuple(f"{PREFIX}/{suite}-{number}" for suite, numbers in _SOLVED.items() for number in numbers)
    """Full names of those it solves."""

    def __init__(self, environment: LiberoTask) -> None:
        """Read the task's goal. Raises `ConfigError` for a task that isn't one of `tasks`."""
        if environment.task not in self.tasks:
            raise ConfigError(
                f"nobody demonstrates {environment.task}: the expert of LIBERO picks things up and places them, and "
                "was not seen to solve this; LiberoExpert.tasks are those that it solves"
            )
        self._environment = environment
        self._goal = task_called(environment.task).goal()
        self.reset()

    def reset(self) -> None:
        """Begin from the environment's present moment."""
        self._steps = 0
        self._errand: Errand | None = None
        self._fact: Fact | None = None
        self._failed = 0

    def act(self) -> FloatArray:
        """Actions `(7,)` for the next step. Where all is done, or nothing can be held, the hand stays where it is."""
        self._steps += 1
        if self._steps <= SETTLE_STEPS:
            return IDLE.copy()
        model, data = self._environment.simulation()
        if self._errand is None or self._errand.done:
            self._errand = self._next_errand(model, data)
        return IDLE.copy() if self._errand is None else self._errand.act(data)

    def _next_errand(self, model: Any, data: Any) -> Errand | None:
        """For the first fact that doesn't hold yet."""
        holds = self._environment.privileged()["goal_holds"]
        fact = next((fact for fact, done in zip(self._goal, holds, strict=True) if not done), None)
        self._failed = self._failed + 1 if fact == self._fact else 0
        self._fact = fact
        return None if fact is None else Errand.plan(model, data, fact, failed=self._failed)
