"""Conformance of robots."""

from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import Command
from dualsys.protocols import Robot
from dualsys.testing.conditions import require, require_members, require_observation


def check_robot(robot: Any, *, commands: int = 5) -> None:
    """Check that a robot keeps its protocol. It is told to stay where it is a few times, then closed.

    Args:
        robot: The robot; on hardware its arm is held, not moved.
        commands: How often it is read and commanded.

    Raises:
        NotConforming: it does not; the message says what was expected.
    """
    name = require_members(robot, Robot)
    embodiment = robot.embodiment
    require(isinstance(embodiment, EmbodimentSpec), f"{name}.embodiment is {type(embodiment).__name__}")
    try:
        stamp_s = -np.inf
        kept = []
        for _ in range(commands):
            observation = require_observation(robot.observe(), embodiment, f"{name}.observe()")
            require(
                observation.stamp_s >= stamp_s,
                f"{name}.observe() went back from {stamp_s} s to {observation.stamp_s} s",
            )
            stamp_s = observation.stamp_s
            kept.append((observation.state, observation.state.copy()))
            target = np.clip(embodiment.position_in(observation.state), embodiment.lower, embodiment.upper)
            robot.command(Command(target=target, stamp_s=stamp_s, source="hold"))
        for state, copy in kept:
            require(np.array_equal(state, copy), f"{name} overwrote the state of an earlier observation")
    finally:
        robot.close()
    robot.close()
