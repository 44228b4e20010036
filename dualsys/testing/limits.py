"""Did every command of a run keep the robot's limits?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import FloatArray

ROUNDING = 1e-6
"""Share of a limit that floating point may add."""
_DIGIT = 1e-11
"""What the last digits of a command may be off (rad, m): little, but jerk divides it by the cube of a tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsKept:
    """What a run's commands asked of the joints."""

    commands: int
    outside: int
    """Commands beyond a limit of position, velocity, acceleration or jerk."""
    largest_velocity: float
    """As a share of the joint's limit."""
    largest_acceleration: float
    """As a share of the joint's limit."""
    largest_jerk: float
    """As a share of the joint's limit; 0 where no joint has one."""


def check_limits(lines: Iterable[Mapping[str, Any]], embodiment: EmbodimentSpec, dt_s: float) -> LimitsKept:
    """Hold the commands of a run's log to the limits of its robot.

    Args:
        lines: Of the log, in order: those of kind `command`, or without one, and those that tell where a motion begins,
            from rest at the next command and wherever that is: `episode`, and `stop_reset` where the robot was `moved`.
        embodiment: The robot.
        dt_s: Time between two commands, as the safety gate has it.
    """
    targets: list[Any] = []
    begins = [0]
    for line in lines:
        if line.get("kind", "command") == "command":
            targets.append(line["target"])
        elif _begins(line):
            begins.append(len(targets))
    return _check(np.array(targets, dtype=np.float64).reshape(-1, embodiment.num_actions), begins, embodiment, dt_s)


def _begins(line: Mapping[str, Any]) -> bool:
    return line["kind"] == "episode" or (line["kind"] == "stop_reset" and bool(line.get("moved")))


def _check(targets: FloatArray, begins: list[int], embodiment: EmbodimentSpec, dt_s: float) -> LimitsKept:
    outside = np.any((targets < embodiment.lower - ROUNDING) | (targets > embodiment.upper + ROUNDING), axis=1)
    outside |= ~np.all(np.isfinite(targets), axis=1)
    limits = (embodiment.max_velocity, embodiment.max_acceleration, embodiment.max_jerk)
    largest = np.zeros(len(limits))
    for begin, end in pairwise([*begins, len(targets)]):
        rates = targets[begin:end]
        for order, most in enumerate(limits):
            # Every motion begins at rest: before its first command there was the same one.
            rates = np.diff(rates, axis=0, prepend=rates[:1]) / dt_s
            shares = np.maximum(np.abs(rates) - _DIGIT / dt_s ** (order + 1), 0.0) / most
            outside[begin:end] |= (shares > 1 + ROUNDING).any(axis=1)
            largest[order] = max(largest[order], shares.max(initial=0.0))
    return LimitsKept(
        commands=len(targets),
        outside=int(outside.sum()),
        largest_velocity=float(largest[0]),
        largest_acceleration=float(largest[1]),
        largest_jerk=float(largest[2]),
    )
