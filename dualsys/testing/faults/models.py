"""Parts that fail on purpose, call by call, so that what the rest does about it can be tested."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import DualsysError
from dualsys.guidance import Guided
from dualsys.messages import ActionChunk, ActionPrefix, Guidance, LatentSubgoal, Observation
from dualsys.protocols import Actor, Planner

Failure = Literal["none", "nan", "infinite", "shape", "dtype", "stamp", "nothing", "error", "slow"]
"""`none`: works. `nan`, `infinite`: one such value. `shape`: a column too many. `dtype`: texts for
numbers. `stamp`: not a number. `nothing`: None. `error`: raises `InjectedError`. `slow`: sleeps first."""


class InjectedError(DualsysError):
    """The error that a faulty part was told to raise."""


class FaultyActor:
    """An actor whose calls fail by a script: call `i` fails as `failures[i]` says, later ones as the last.

    Args:
        actor: What it does when it works.
        failures: One word a call, since construction.
        slow_s: How long `slow` sleeps, wall time.
    """

    def __init__(self, actor: Actor, failures: Sequence[Failure], *, slow_s: float = 0.2) -> None:
        self._actor = actor
        self._failures = tuple(failures)
        self._slow_s = slow_s
        self.calls = 0

    @property
    def embodiment(self) -> EmbodimentSpec:
        """That of the actor inside."""
        return self._actor.embodiment

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """That of the actor inside."""
        return self._actor.subgoal_spec

    @property
    def horizon(self) -> int:
        """That of the actor inside."""
        return self._actor.horizon

    @property
    def dt_s(self) -> float:
        """That of the actor inside."""
        return self._actor.dt_s

    @property
    def guidances(self) -> frozenset[Guidance]:
        """Those of the actor inside."""
        return self._actor.guidances if isinstance(self._actor, Guided) else frozenset()

    def reset(self, *, seed: int = 0) -> None:
        """Resets the actor inside, not the script."""
        self._actor.reset(seed=seed)

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """A chunk, or a failure."""
        self.calls += 1
        failure = _begin_call(self._failures, self.calls - 1, self._slow_s)
        chunk = self._actor.act(observation, subgoal, prefix)
        if failure == "stamp":
            return replace(chunk, start_stamp_s=float("nan"))
        broken: Any = None if failure == "nothing" else replace(chunk, rows=_spoil(chunk.rows, failure))
        return broken  # type: ignore[no-any-return]


class FaultyPlanner:
    """A planner whose calls fail by a script, as `FaultyActor`'s do."""

    def __init__(self, planner: Planner, failures: Sequence[Failure], *, slow_s: float = 0.2) -> None:
        self._planner = planner
        self._failures = tuple(failures)
        self._slow_s = slow_s
        self.calls = 0

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """That of the planner inside."""
        return self._planner.subgoal_spec

    def reset(self, *, seed: int = 0) -> None:
        """Resets the planner inside, not the script."""
        self._planner.reset(seed=seed)

    def plan(self, observation: Observation) -> LatentSubgoal:
        """A subgoal, or a failure."""
        self.calls += 1
        failure = _begin_call(self._failures, self.calls - 1, self._slow_s)
        subgoal = self._planner.plan(observation)
        if failure == "stamp":
            return replace(subgoal, observation_stamp_s=float("nan"))
        broken: Any = None if failure == "nothing" else replace(subgoal, tokens=_spoil(subgoal.tokens, failure))
        return broken  # type: ignore[no-any-return]


def _begin_call(failures: Sequence[Failure], call: int, slow_s: float) -> Failure:
    failure = failures[min(call, len(failures) - 1)] if failures else "none"
    if failure == "error":
        raise InjectedError(f"call {call} was told to fail")
    if failure == "slow":
        time.sleep(slow_s)
    return failure


def _spoil(array: np.ndarray[Any, Any], failure: Failure) -> np.ndarray[Any, Any]:
    if failure == "shape":
        return np.concatenate([array, array[:, :1]], axis=1)
    if failure == "dtype":
        return array.astype("U8")
    spoiled = array.copy()
    if failure in ("nan", "infinite"):
        spoiled[0, 0] = np.nan if failure == "nan" else np.inf
    return spoiled
