"""Did every command of a run keep the robot's limits?"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec

ROUNDING = 1e-6
"""Share of a limit that floating point may add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsKept:
    """What a run's commands asked of the joints."""

    commands: int
    outside: int
    """Commands beyond a limit of position, velocity or acceleration."""
    largest_velocity: float
    """As a share of the joint's limit."""
    largest_acceleration: float
    """As a share of the joint's limit."""


def check_limits(commands: list[dict[str, Any]], embodiment: EmbodimentSpec, dt_s: float) -> LimitsKept:
    """Hold the commands of a run's log to the limits of its robot.

    Args:
        commands: Lines of kind `command`, in order. Those of source `start` begin an episode, at rest.
        embodiment: The robot.
        dt_s: Time between two commands, as the safety gate has it.
    """
    if not commands:
        return LimitsKept(commands=0, outside=0, largest_velocity=0.0, largest_acceleration=0.0)
    targets = np.array([command["target"] for command in commands], dtype=np.float64)
    started = np.array([command["source"] == "start" for command in commands])
    begins = [0, *(np.flatnonzero(started[1:] & ~started[:-1]) + 1), len(targets)]
    outside = np.any((targets < embodiment.lower - ROUNDING) | (targets > embodiment.upper + ROUNDING), axis=1)
    outside |= ~np.all(np.isfinite(targets), axis=1)
    largest = np.zeros(2)
    for begin, end in pairwise(begins):
        velocities = np.diff(targets[begin:end], axis=0) / dt_s
        changes = np.diff(velocities, axis=0, prepend=np.zeros((1, targets.shape[1]))) / dt_s
        shares = np.stack(
            [np.abs(velocities) / embodiment.max_velocity, np.abs(changes) / embodiment.max_acceleration]
        ).max(axis=2, initial=0.0)
        outside[begin + 1 : end] |= (shares > 1 + ROUNDING).any(axis=0)
        largest = np.maximum(largest, shares.max(axis=1, initial=0.0))
    return LimitsKept(
        commands=len(targets),
        outside=int(outside.sum()),
        largest_velocity=float(largest[0]),
        largest_acceleration=float(largest[1]),
    )
