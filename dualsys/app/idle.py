"""Parts that do nothing, for any task, without a checkpoint: the baseline of a suite, and its smoke test.

They are built from plain values, in whatever process.
"""

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from dualsys.actor.scripted import HoldActor
from dualsys.bridge.parts import PartConfig
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.messages import LatentSubgoal, Observation
from dualsys.planner.scripted import NullPlanner
from dualsys.settings import ActorBackend, Precision

NOTHING = SubgoalSpec(num_tokens=1, dim=1)


def null_planner(subgoal: Mapping[str, Any] | SubgoalSpec) -> NullPlanner:
    """Emits the null subgoal of a kind."""
    return NullPlanner(SubgoalSpec.model_validate(subgoal))


def hold_actor(embodiment: Mapping[str, Any] | EmbodimentSpec, dt_s: float) -> HoldActor:
    """Holds the pose that it sees, or gives no effort where actions are none of a pose."""
    return HoldActor(EmbodimentSpec.model_validate(embodiment), NOTHING, dt_s=dt_s)


@final
class UnreadPlanner:
    """A token of zeros: a planner that is well, for an actor that leaves unread what it says."""

    def __init__(self, subgoal: Mapping[str, Any] | SubgoalSpec) -> None:
        self.subgoal_spec = SubgoalSpec.model_validate(subgoal)

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Zeros."""
        return LatentSubgoal(
            tokens=np.zeros((self.subgoal_spec.num_tokens, self.subgoal_spec.dim), dtype=np.float32),
            observation_stamp_s=observation.oldest_stamp_s,
            producer="nobody",
            time_to_live_s=self.subgoal_spec.max_age_s,
        )


def null_part(*, precision: Precision = "auto") -> PartConfig:
    """`null_planner`, wherever it is built; where that is, a precision is refused."""
    return _of_a_planner("null_planner", NOTHING).model_copy(update={"precision": precision})


def unread_part(subgoal: SubgoalSpec) -> PartConfig:
    """`UnreadPlanner`, wherever it is built."""
    return _of_a_planner("UnreadPlanner", subgoal)


def _of_a_planner(name: str, subgoal: SubgoalSpec) -> PartConfig:
    return PartConfig(name=f"{__name__}:{name}", options={"subgoal": subgoal.model_dump(mode="json")})


def hold_part(
    embodiment: EmbodimentSpec, dt_s: float, *, backend: ActorBackend = "eager", precision: Precision = "auto"
) -> PartConfig:
    """`hold_actor`, wherever it is built; where that is, a backend and a precision are refused."""
    options = {"embodiment": embodiment.model_dump(mode="json"), "dt_s": dt_s}
    return PartConfig(name=f"{__name__}:hold_actor", options=options, backend=backend, precision=precision)
