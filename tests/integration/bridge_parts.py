"""Parts that the integration tests' processes build by name: `tests.integration.bridge_parts:FUNCTION`."""

import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.bridge import handshake
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.testing import (
    FaultyPlanner,
    GroupActor,
    KnownPlanner,
    PoseActor,
    ReachEnvironment,
    fake_embodiment,
    mobile_embodiment,
)
from dualsys.testing.groups import mobile_motions

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


class OneBadReset(KnownPlanner):
    """Its first reset raises."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self._is_bad = True

    def reset(self, *, seed: int = 0) -> None:
        """As it says."""
        was_bad, self._is_bad = self._is_bad, False
        if was_bad:
            raise RuntimeError("the camera of the cabinet is off")
        super().reset(seed=seed)


def planner_with_one_bad_reset() -> KnownPlanner:
    """Counts its calls, after a reset that raises."""
    return OneBadReset()


def planner_unless(marker: str) -> KnownPlanner:
    """Can't be built while there is a file at a path."""
    _require_none(marker)
    return planner()


def actor_unless(marker: str) -> PoseActor:
    """Can't be built while there is a file at a path."""
    _require_none(marker)
    return reaching_actor()


def dying_actor() -> PoseActor:
    """Its process ends while it is built, without a word of why."""
    os._exit(7)


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


class MarkedPlanner(KnownPlanner):
    """Plans well until there is a file at a path; from then on every plan goes wrong, each in the next of some ways.

    `memory`: it asks for more than its address space may hold. `exit`: its process ends in the constructor. `spec`,
    `wire`: a host that is built then has other subgoals, or is of another version.
    """

    def __init__(self, marker: str, ways: list[str]) -> None:
        super().__init__(SPEC)
        self._marker, self._ways, self._failed = Path(marker), ways, 0
        if "memory" in ways:
            limit_memory(256 * 2**20)
        if not self._marker.exists():
            return
        if "exit" in ways:
            os._exit(7)
        if "spec" in ways:
            self.subgoal_spec = SubgoalSpec(num_tokens=5, dim=8)
        if "wire" in ways:
            setattr(handshake, "WIRE_VERSION", 99)  # noqa: B010 - the module means it as a constant

    def plan(self, observation: Observation) -> LatentSubgoal:
        """A subgoal, or what is wrong with it."""
        subgoal = super().plan(observation)
        if not self._marker.exists():
            return subgoal
        way = self._ways[self._failed % len(self._ways)]
        self._failed += 1
        if way == "error":
            raise ValueError("it does not know what it sees")
        if way == "memory":
            np.ones(2**30, dtype=np.uint8)
        if way == "shape":
            return replace(subgoal, tokens=subgoal.tokens[:, 1:])
        return replace(subgoal, tokens=np.full_like(subgoal.tokens, np.nan))


def limit_memory(more_bytes: int) -> None:
    """Have this process fail to get more than so many bytes beyond what it has."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + more_bytes, resource.RLIM_INFINITY))


class OtherPlanner(KnownPlanner):
    """Emits subgoals of another shape, whatever the checkpoint says."""

    @classmethod
    def from_checkpoint(cls, checkpoint: Any) -> "OtherPlanner":
        """For no actor of ours."""
        return cls(SubgoalSpec(num_tokens=5, dim=8))


class BatchedPlanner(KnownPlanner):
    """Plans for several robots at once: tokens are the time of each observation."""

    def __init__(self) -> None:
        super().__init__(SPEC)

    def plan(self, observation: Observation) -> LatentSubgoal:
        """The observation's time, everywhere."""
        return self.plan_batch([observation])[0]

    def plan_batch(self, observations: list[Observation]) -> list[LatentSubgoal]:
        """The same of each. An observation without words spoils the batch."""
        if not all(observation.instruction for observation in observations):
            raise ValueError("there are no words to go by")
        return [
            LatentSubgoal(
                tokens=np.full((SPEC.num_tokens, SPEC.dim), observation.stamp_s, dtype=np.float32),
                observation_stamp_s=observation.oldest_stamp_s,
                producer="batched",
            )
            for observation in observations
        ]


def mobile(control_hz: float = 200.0) -> ReachEnvironment:
    """Arms, a hand and a base, whose pose is out of reach."""
    return ReachEnvironment(mobile_embodiment(), np.full(5, 2.0), control_dt_s=1 / control_hz, max_steps=1_000_000)


def mobile_actor() -> GroupActor:
    """Moves each group at its own rate."""
    return GroupActor(mobile_embodiment(), SPEC, mobile_motions())
