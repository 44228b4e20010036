"""Parts that the integration tests' processes build by name: `tests.integration.bridge_parts:FUNCTION`."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.testing import FaultyPlanner, KnownPlanner, PoseActor, ReachEnvironment, fake_embodiment

SPEC = SubgoalSpec(num_tokens=4, dim=8)
POSE = 0.4


def reach(pose: float = POSE, max_steps: int = 500, control_hz: float = 500.0) -> ReachEnvironment:
    """An arm without physics. A pose beyond 1 is out of reach."""
    return ReachEnvironment(fake_embodiment(), np.full(3, pose), control_dt_s=1 / control_hz, max_steps=max_steps)


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


def planner_unless(marker: str) -> KnownPlanner:
    """Can't be built while there is a file at a path."""
    _require_none(marker)
    return planner()


def actor_unless(marker: str) -> PoseActor:
    """Can't be built while there is a file at a path."""
    _require_none(marker)
    return reaching_actor()


def _require_none(marker: str) -> None:
    if Path(marker).exists():
        raise CheckpointError("the checkpoint is gone")


class HangingActor:
    """Hangs in a call, until it is started anew."""

    def __init__(self, marker: str, good_calls: int = 5) -> None:
        self._actor, self._marker, self._left = reaching_actor(), Path(marker), good_calls
        self.embodiment, self.subgoal_spec = self._actor.embodiment, self._actor.subgoal_spec
        self.horizon, self.dt_s = self._actor.horizon, self._actor.dt_s

    def reset(self, *, seed: int = 0) -> None:
        """Nothing."""

    def act(self, observation: Observation, subgoal: Any, prefix: Any = None) -> ActionChunk:
        """A chunk, or nothing for an hour; the marker says that it has hung."""
        self._left -= 1
        if self._left < 0 and not self._marker.exists():
            self._marker.touch()
            time.sleep(3600)
        return self._actor.act(observation, subgoal, prefix)


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
