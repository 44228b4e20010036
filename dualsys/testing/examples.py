"""Recorded examples of planners and actors: inputs, and what somebody's known implementation gave for them.

    check_actor(mine, examples=[ActorExample(observation=seen, subgoal=told, rows=theirs)])

What is compared is near where it differs by at most a tolerance, and as much again for each unit of a larger number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.messages import FloatArray, LatentSubgoal, Observation

Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannerExample:
    """What a planner should give for an observation."""

    observation: Observation
    subgoal: LatentSubgoal
    """Compared are its mask, and what of tokens, keys and values the mask leaves in."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActorExample:
    """What an actor should give for an observation and a subgoal."""

    observation: Observation
    subgoal: LatentSubgoal | None
    rows: FloatArray
    """Expected rows `(horizon, nu)`, physical."""
    start: FloatArray | None = None
    """Where sampling began, in the same units `(horizon, nu)`: the noise, denormalised. Tells which way it went."""
    seed: int = 0
    """That the actor is reset with; for a peer's noise give `sample` to `check_actor`."""


def near(found: Numbers, expected: Numbers, tolerance: float) -> bool:
    """Whether two arrays are equal within a tolerance."""
    if found.shape != expected.shape:
        return False
    return bool((np.abs(found - expected) <= tolerance * (1 + np.abs(expected))).all())


def all_near(found: Sequence[Numbers], expected: Sequence[Numbers], tolerance: float) -> bool:
    """Whether as many arrays are equal, one by one."""
    return len(found) == len(expected) and all(
        near(one, other, tolerance) for one, other in zip(found, expected, strict=True)
    )


def farthest(found: Numbers, expected: Numbers) -> str:
    """How far two arrays are apart, in words."""
    if found.shape != expected.shape:
        return f"shape {found.shape} where {expected.shape} is expected"
    return (
        f"numbers that are off by up to {np.abs(found - expected).max(initial=0.0):.2g}, where the largest is "
        f"{np.abs(expected).max(initial=0.0):.2g}"
    )
