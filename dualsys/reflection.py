"""What a planner does once its subgoal is on its way: think about words, say, which nobody waits for."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Reflective(Protocol):
    """A planner with something left to do after `plan`. Whoever publishes its subgoals calls it then.

    Without the call it does so at the beginning of the next `plan`: the same subgoals, a little later.
    """

    def reflect(self) -> None:
        """Finish what the last `plan` left for later. Without one it does nothing."""
        ...


def reflect(planner: Any) -> None:
    """Let a planner finish, where it has something to finish."""
    if isinstance(planner, Reflective):
        planner.reflect()
