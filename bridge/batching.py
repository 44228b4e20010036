"""Many robots, one planner, without Ray: who is planned for next, and that nobody spoils it for the others.

    seats with a new observation --choose--> a batch --Batcher--> a subgoal or a reason for each

A robot's newest observation replaces the one before, so that nothing queues: what waits is at most one for each robot.
Those that were served longest ago come first, so that with more robots than a batch holds all get their turn.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from dualsys.bridge.repeated import RepeatedWarnings
from dualsys.bridge.sensed import SensedCodec
from dualsys.bridge.wire import SubgoalCodec
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import BridgeError, DualsysError
from dualsys.messages import Observation
from dualsys.protocols import BatchPlanner, Planner
from dualsys.provenance import subgoal_problem

_LOGGER = logging.getLogger(__name__)
_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An observation to plan for."""

    embodiment: EmbodimentSpec
    frame: bytes
    run: tuple[str, str] = ("", "")
    """The robot's name, and the key of its run."""
    alone: bool = False
    """Not together with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A subgoal, or why there is none."""

    subgoal: bytes | None = None
    """Its frame."""
    kind: str = ""
    """`failures`: the observation or the planner failed. `refused`: what the planner returned can't be used."""
    reason: str = ""
    spoils: bool = False
    """The planner failed on this observation alone: it is not to be planned for together with others."""


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """What a planner's server has of one robot."""

    robot: str
    """Its name."""
    key: str
    """Tells its run from another of that name."""
    embodiment: EmbodimentSpec
    """What its observations must fit."""
    heard_s: float
    """When it was last heard of."""
    observation: bytes | None = None
    """The newest, not planned for yet."""
    served: int = 0
    """Number of the batch that it was last in."""
    alone: bool = False
    """Its last observation made a batch fail: planned for by itself until one succeeds."""
    subgoal: bytes | None = None
    """The newest."""
    number: int = -1
    """Of the newest subgoal."""
    overtaken: int = 0
    """Observations that a newer one replaced before they were planned for."""
    failures: int = 0
    refused: int = 0
    failures_in_a_row: int = 0
    problem: str = ""

    def take(self, answer: Answer) -> None:
        """What came of its observation."""
        self.alone = answer.spoils
        if answer.subgoal is not None:
            self.subgoal, self.number = answer.subgoal, self.number + 1
            self.failures_in_a_row, self.problem = 0, ""
            return
        self.failures_in_a_row += 1
        self.problem = answer.reason
        if answer.kind == "refused":
            self.refused += 1
        else:
            self.failures += 1

    def figures(self) -> dict[str, Any]:
        """What its robot is told of it."""
        return {
            "subgoals": self.number + 1,
            "overtaken": self.overtaken,
            "failures": self.failures,
            "refused": self.refused,
            "failures_in_a_row": self.failures_in_a_row,
            "problem": self.problem,
        }


def choose(seats: Iterable[Seat], most: int) -> list[Seat]:
    """At most so many of the seats that have a new observation, those first that were served longest ago."""
    waiting = [seat for seat in seats if seat.observation is not None]
    return sorted(waiting, key=lambda seat: seat.served)[:most]


@final
class Batcher:
    """Asks a planner for several robots at once, where it can; what fails, fails for its robot alone.

    Args:
        planner: Serves several robots where it is a `BatchPlanner`, which remembers none of them and is never reset;
            else one, and is reset for each run, episode and attempt. A seat taken again by the same run, after a cut,
            resets nothing.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._spec: SubgoalSpec = planner.subgoal_spec
        self._codec = SensedCodec()
        self._begun: tuple[tuple[str, str], tuple[int, int]] | None = None
        """Run and attempt that the planner was last reset for."""
        self._warnings = RepeatedWarnings(_LOGGER)
        self.spoiled = 0
        """Batches that failed as a whole, and were planned one by one."""

    @property
    def serves_many(self) -> bool:
        """Whether more than one robot may be served."""
        return isinstance(self._planner, BatchPlanner)

    def plan(self, asked: Sequence[Asked]) -> list[Answer]:
        """An answer to each, in their order. Never raises."""
        answers: dict[int, Answer] = {}
        together: list[tuple[int, Observation]] = []
        for index, each in enumerate(asked):
            try:
                observation = self._look(each)
            except Exception as error:
                if not isinstance(error, DualsysError):
                    _LOGGER.warning("the planner could not be made ready for an episode", exc_info=error)
                answers[index] = _failure(error)
                continue
            if each.alone or not self.serves_many:
                answers[index] = self._plan_alone(observation)
            else:
                together.append((index, observation))
        if together:
            found = self._plan_together([observation for _, observation in together])
            answers |= dict(zip((index for index, _ in together), found, strict=True))
        return [answers[index] for index in range(len(asked))]

    def _look(self, asked: Asked) -> Observation:
        episode, observation = self._codec.decode(asked.frame)
        asked.embodiment.check_observation(observation)
        begun = (asked.run, episode.key)
        if not self.serves_many and begun != self._begun:
            self._planner.reset(seed=episode.model_seed)
            self._begun = begun  # only now: one that failed is tried again
        return observation

    def _plan_together(self, observations: list[Observation]) -> list[Answer]:
        planner: Any = self._planner
        try:
            subgoals = list(planner.plan_batch(observations))
            if len(subgoals) != len(observations):
                raise BridgeError(f"plan_batch gave {len(subgoals)} subgoals for {len(observations)} observations")
        except Exception as error:
            self.spoiled += 1
            self._warnings.tell(f"a batch of {len(observations)} failed, each is planned alone: {error}")
            return [self._plan_alone(observation) for observation in observations]
        return [self._checked(subgoal) for subgoal in subgoals]

    def _plan_alone(self, observation: Observation) -> Answer:
        try:
            subgoal = self._planner.plan(observation)
        except Exception as error:
            if not isinstance(error, DualsysError):
                self._warnings.tell(f"no subgoal from this plan: {type(error).__name__}: {error}", error)
            return _failure(error, spoils=True)
        return self._checked(subgoal)

    def _checked(self, subgoal: Any) -> Answer:
        problem = subgoal_problem(subgoal, self._spec)
        if problem is None:
            try:
                return Answer(subgoal=SubgoalCodec().encode(subgoal))
            except BridgeError as error:
                problem = str(error)
        return Answer(kind="refused", reason=problem[:_REASON_CHARACTERS])


def _failure(error: Exception, *, spoils: bool = False) -> Answer:
    reason = f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS]
    return Answer(kind="failures", reason=reason, spoils=spoils)


@dataclass(slots=True)
class Sizes:
    """How large the batches were."""

    counts: dict[int, int] = field(default_factory=dict)

    def add(self, size: int) -> None:
        """One more of a size."""
        self.counts[size] = self.counts.get(size, 0) + 1

    def mean(self) -> float:
        """Observations a batch; 0 before the first."""
        batches = sum(self.counts.values())
        return sum(size * count for size, count in self.counts.items()) / batches if batches else 0.0
