"""A robot of anybody's that fails while one says so."""

from collections.abc import Sequence
from typing import Any, final

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import Command, Observation
from dualsys.protocols import Robot
from dualsys.testing.faults.models import InjectedError
from dualsys.testing.faults.streams import StreamFault


@final
class FaultyRobot:
    """Passes observations and commands on. While `active`, observations go through some faults, in their order.

    Args:
        robot: What it does when it works.
        faults: What goes wrong with what it senses.
        link: False: while active, reading it and commanding it raise `InjectedError`, as a lost connection may.
    """

    def __init__(self, robot: Robot, faults: Sequence[StreamFault] = (), *, link: bool = True) -> None:
        self._robot, self._faults, self._link = robot, tuple(faults), link
        self.active = False

    @property
    def embodiment(self) -> EmbodimentSpec:
        """That of the robot inside."""
        return self._robot.embodiment

    def observe(self) -> Observation:
        """What it senses, or what comes of it."""
        self._require_link()
        observation: Any = self._robot.observe()
        for fault in self._faults:
            observation = fault(observation, active=self.active)
        return observation  # type: ignore[no-any-return]

    def command(self, command: Command) -> None:
        """Passed on."""
        self._require_link()
        self._robot.command(command)

    def close(self) -> None:
        """Passed on."""
        self._robot.close()

    def _require_link(self) -> None:
        if self.active and not self._link:
            raise InjectedError("the link to the robot was cut")
