"""Conformance of experts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.protocols import Environment, Expert
from dualsys.testing.conditions import require, require_members


def check_expert(
    build: Callable[[Any], Expert], environment: Environment, *, seed: int = 0, max_seconds: float = 60.0
) -> None:
    """Check that an expert keeps its protocol, and that it solves an episode. The environment is stepped, not closed.

    Args:
        build: From the environment to its expert: what an entry point of the group `dualsys.experts` names.
        environment: Of the suite that it is for.
        seed: Of the episode, which is done twice: by an expert that is reset, and by one that is new.
        max_seconds: Simulated time after which an endless episode is given up.

    Raises:
        NotConforming: it does not; the message says what was expected.
    """
    expert = build(environment)
    name = require_members(expert, Expert)
    environment.reset(seed=seed + 1)
    expert.reset()
    for _ in range(3):  # what it remembers of another episode must not be seen in the next
        environment.step(_target(expert, environment, name))
    first = _episode(expert, environment, name, seed, max_seconds)
    require(
        bool(environment.success),
        f"{name} did not solve seed {seed} ({environment.instruction!r}) in {len(first)} steps",
    )
    second = _episode(build(environment), environment, name, seed, max_seconds)
    require(
        len(first) == len(second) and all(map(np.array_equal, first, second)),
        f"{name} was reset and gave other targets for seed {seed} than a new one: it remembers, or draws at random",
    )


def _episode(expert: Expert, environment: Environment, name: str, seed: int, max_seconds: float) -> list[FloatArray]:
    """Targets from a reset until the episode is over."""
    environment.reset(seed=seed)
    expert.reset()
    targets: list[FloatArray] = []
    over = False
    while not over and len(targets) * environment.control_dt_s < max_seconds:
        targets.append(_target(expert, environment, name).copy())
        _, _, terminated, truncated, _ = environment.step(targets[-1])
        over = bool(terminated or truncated)
    return targets


def _target(expert: Expert, environment: Environment, name: str) -> FloatArray:
    target = expert.act()
    expected = (environment.embodiment.num_actions,)
    require(
        isinstance(target, np.ndarray) and target.shape == expected and bool(np.all(np.isfinite(target))),
        f"{name}.act() gave {target!r}, expected {expected[0]} finite numbers",
    )
    return target
