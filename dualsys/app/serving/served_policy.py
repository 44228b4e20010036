"""Both systems of a checkpoint behind one call: what a client of openpi or GR00T asks."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, final

from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import InvalidObservation, PolicyError
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.protocols import Actor, Planner
from dualsys.provenance import sign_subgoal, subgoal_problem

BuildPolicy = Callable[[], "ServedPolicy"]


@final
class ServedPolicy:
    """For one client at a time: the newest subgoal, and the actor's noise, are of its episode.

    Nothing is limited here: the safety gate is with whoever moves the robot.

    Args:
        planner: System 2.
        actor: System 1.
        planner_hz: How often it is planned, by the observations' stamps; None: with every call.
        facts: What more clients are told of it, as far as JSON holds it.
    """

    def __init__(
        self, planner: Planner, actor: Actor, *, planner_hz: float | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        planner.subgoal_spec.require_same(actor.subgoal_spec, ours="the planner", theirs="the actor")
        actor.embodiment.require_no_deltas()
        self._planner, self._actor, self._facts = planner, actor, dict(facts or {})
        self._period_s = 0.0 if planner_hz is None else 1.0 / planner_hz
        self._subgoal: LatentSubgoal | None = None
        self._planned_s = float("-inf")
        self._planned = 0

    @classmethod
    def from_checkpoint(
        cls,
        name_or_folder: str,
        *,
        planner: str = "",
        actor: str = "",
        robot: str = "",
        planner_hz: float | None = None,
    ) -> "ServedPolicy":
        """From a shipped checkpoint by name, or any by folder; parts by name as in `dualsys.Controller`."""
        manifest = (checkpoint := Checkpoint.open(name_or_folder)).manifest
        facts = {"checkpoint": manifest.name, "weights": checkpoint.weights_digest()}
        embodiment = checkpoint.of_robot(robot).manifest.embodiment if robot else manifest.embodiment
        system_1 = build_actor(PartConfig(name=actor, checkpoint=name_or_folder), embodiment, manifest.subgoal)
        system_2 = build_planner(PartConfig(name=planner, checkpoint=name_or_folder), system_1.subgoal_spec)
        return cls(system_2, system_1, planner_hz=planner_hz, facts=facts)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot that observations are of, and chunks for."""
        return self._actor.embodiment

    @property
    def about(self) -> dict[str, Any]:
        """What clients are told of it."""
        actor = self._actor
        return {
            "horizon": actor.horizon,
            "dt_s": actor.dt_s,
            "embodiment": actor.embodiment.model_dump(mode="json"),
            **self._facts,
        }

    def begin(self, seed: int = 0) -> None:
        """A new episode: both models forget the last."""
        self._planner.reset(seed=seed)
        self._actor.reset(seed=seed)
        self._subgoal, self._planned_s, self._planned = None, float("-inf"), 0

    def infer(self, observation: Observation) -> tuple[ActionChunk, dict[str, float]]:
        """A chunk for an observation, and the milliseconds that each system took.

        Raises:
            PolicyError: a model gave what can't be used.
            Exception: whatever the planner or the actor raises.
        """
        timing: dict[str, float] = {}
        # Half a millisecond's grace: stamps that are sums of control periods are a little off the planner's.
        if observation.stamp_s - self._planned_s >= self._period_s - 5e-4:
            began_s = perf_counter()
            self._subgoal = self._plan(observation)
            self._planned_s = observation.stamp_s
            timing["planner_ms"] = 1e3 * (perf_counter() - began_s)
        began_s = perf_counter()
        chunk: Any = self._actor.act(observation, self._subgoal, None)
        timing["actor_ms"] = 1e3 * (perf_counter() - began_s)
        if not isinstance(chunk, ActionChunk):
            raise PolicyError(f"the actor gave {type(chunk).__name__}, not an ActionChunk")
        return chunk, timing

    def _plan(self, observation: Observation) -> LatentSubgoal:
        subgoal, spec = self._planner.plan(observation), self._actor.subgoal_spec
        if (problem := subgoal_problem(subgoal, spec)) is not None:
            raise PolicyError(f"the planner's subgoal can't be used: {problem}")
        self._planned += 1
        return sign_subgoal(subgoal, spec, sequence=self._planned - 1, epoch=0, emitted_stamp_s=observation.stamp_s)


def whole_seed(value: Any) -> int:
    """A seed that a client gave. Raises `InvalidObservation` where it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise InvalidObservation(f"a seed is a number from 0 on, not {value!r}")
    return value
