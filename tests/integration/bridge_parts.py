"""Parts that the integration tests' processes build by name: `tests.integration.bridge_parts:FUNCTION`."""

import time
from typing import Any

import numpy as np

from dualsys.embodiment import SubgoalSpec
from dualsys.messages import LatentSubgoal, Observation
from dualsys.testing import FaultyPlanner, KnownPlanner, PoseActor, ReachEnvironment, fake_embodiment

SPEC = SubgoalSpec(num_tokens=4, dim=8)
POSE = 0.4


def reach(pose: float = POSE, max_steps: int = 500) -> ReachEnvironment:
    """An arm without physics, at 500 Hz. A pose beyond 1 is out of reach."""
    return ReachEnvironment(fake_embodiment(), np.full(3, pose), control_dt_s=0.002, max_steps=max_steps)


def humanoid(seed: int = 0) -> Any:
    """The humanoid at its table, at 500 Hz, drawing only when asked."""
    from dualsys.sim_envs import make

    return make("humanoid/touch", seed=seed, control_hz=500, images="on-demand")


def reaching_actor() -> PoseActor:
    """Goes where the fake arm should."""
    return PoseActor(fake_embodiment(), SPEC, np.full(3, POSE), speed=1.0)


def humanoid_actor() -> PoseActor:
    """Goes slowly to the middle of every joint's range."""
    embodiment = humanoid().embodiment
    return PoseActor(embodiment, SPEC, (embodiment.lower + embodiment.upper) / 2, speed=0.2)


def planner() -> KnownPlanner:
    """Counts its calls."""
    return KnownPlanner(SPEC)


def failing_planner(failures: list[Any]) -> FaultyPlanner:
    """Fails by a script."""
    return FaultyPlanner(KnownPlanner(SPEC), failures)


def other_planner() -> KnownPlanner:
    """Emits subgoals of another shape."""
    return KnownPlanner(SubgoalSpec(num_tokens=5, dim=8))


class HangingPlanner:
    """Hangs in every call after the first few."""

    subgoal_spec = SPEC

    def __init__(self, good_calls: int = 3) -> None:
        self._left = good_calls + 1  # The first call is the warm-up.
        self._planner = KnownPlanner(SPEC)

    def reset(self, *, seed: int = 0) -> None:
        """Nothing."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """A subgoal, or nothing for an hour."""
        self._left -= 1
        if self._left < 0:
            time.sleep(3600)
        return self._planner.plan(observation)


class OtherPlanner(KnownPlanner):
    """Emits subgoals of another shape, whatever the checkpoint says."""

    @classmethod
    def from_checkpoint(cls, checkpoint: Any) -> "OtherPlanner":
        """For no actor of ours."""
        return cls(SubgoalSpec(num_tokens=5, dim=8))
