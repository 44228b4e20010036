"""The conformance kit: our fakes pass, and each way of breaking a protocol is found and named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dualsys.clock import SimulatedClock
from dualsys.embodiment import PrefixSpec, SubgoalSpec
from dualsys.errors import DualsysError, NotConforming
from dualsys.messages import ActionChunk, FloatArray, LatentSubgoal, Observation
from dualsys.testing import (
    FaultyActor,
    FaultyPlanner,
    IdealRobot,
    KnownPlanner,
    PoseActor,
    ReachEnvironment,
    check_actor,
    check_environment,
    check_expert,
    check_planner,
    check_robot,
    fake_embodiment,
)
from dualsys.testing.faults import Failure, InjectedError

ARM = fake_embodiment(2, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=3)


def _actor() -> PoseActor:
    return PoseActor(ARM, SPEC, np.array([0.4, -0.4]))


def test_the_fakes_conform() -> None:
    check_planner(KnownPlanner(SPEC), ARM)
    check_actor(_actor())
    check_actor(FaultyActor(_actor(), []))
    check_planner(FaultyPlanner(KnownPlanner(SPEC), ["none"]), ARM)
    check_environment(ReachEnvironment(ARM, np.zeros(2)))
    check_robot(IdealRobot(ARM, SimulatedClock()))
    prefix = SubgoalSpec(num_tokens=2, dim=0, prefix=PrefixSpec(layers=2, heads=1, head_dim=4))
    check_planner(KnownPlanner(prefix), ARM)
    check_actor(PoseActor(ARM, prefix, np.array([0.4, -0.4])))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"keys": None}, r"its keys are NoneType, the spec says float32 \(2, 1, 2, 4\)"),
        ({"values": np.zeros((2, 1, 3, 4), np.float32)}, r"its values are float32 \(2, 1, 3, 4\)"),
    ],
)
def test_a_planner_whose_prefix_doesnt_fit_its_spec_is_found(change: dict[str, Any], expected: str) -> None:
    class Broken(KnownPlanner):
        def plan(self, observation: Observation) -> LatentSubgoal:
            return replace(super().plan(observation), **change)

    prefix = SubgoalSpec(num_tokens=2, dim=0, prefix=PrefixSpec(layers=2, heads=1, head_dim=4))
    with pytest.raises(NotConforming, match=expected):
        check_planner(Broken(prefix), ARM)


def test_a_batch_that_differs_from_its_observations_alone_is_found() -> None:
    class Steady(KnownPlanner):
        def plan(self, observation: Observation) -> LatentSubgoal:
            return replace(super().plan(observation), tokens=np.full((2, 3), observation.stamp_s, dtype=np.float32))

    class Batched(Steady):
        def __init__(self, leak: float = 0.0, drop: int = 0) -> None:
            super().__init__(SPEC)
            self._leak, self._drop = leak, drop

        def plan_batch(self, observations: list[Observation]) -> list[LatentSubgoal]:
            found = [self.plan(observation) for observation in observations[self._drop :]]
            company = np.float32(self._leak * len(observations))
            return [replace(subgoal, tokens=subgoal.tokens + company) for subgoal in found]

    check_planner(Batched(), ARM)
    with pytest.raises(NotConforming, match=r"differ by .* it depends on the others in the batch"):
        check_planner(Batched(leak=0.01), ARM)
    with pytest.raises(NotConforming, match="gave 3 subgoals for 4 observations"):
        check_planner(Batched(drop=1), ARM)


def test_errors_are_assertions_and_ours() -> None:
    assert issubclass(NotConforming, AssertionError)
    assert issubclass(NotConforming, DualsysError)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("shape", "expected floats"),
        ("dtype", "expected floats"),
        ("stamp", "start_stamp_s"),
        ("nothing", "NoneType"),
    ],
)
def test_a_bad_chunk_is_found(failure: Failure, words: str) -> None:
    with pytest.raises(NotConforming, match=words):
        check_actor(FaultyActor(_actor(), [failure]))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("nan", "not finite"),
        ("shape", "the spec says"),
        ("dtype", "the spec says"),
        ("stamp", "oldest"),
        ("nothing", "NoneType"),
    ],
)
def test_a_bad_subgoal_is_found(failure: Failure, words: str) -> None:
    with pytest.raises(NotConforming, match=words):
        check_planner(FaultyPlanner(KnownPlanner(SPEC), ["none", failure]), ARM)


class _Broken:
    """A conforming part with one member replaced."""

    def __init__(self, part: Any, **members: Any) -> None:
        self._part, self._members = part, members

    def __getattr__(self, name: str) -> Any:
        return self._members[name] if name in self._members else getattr(self._part, name)


def _shared_rows(actor: PoseActor) -> Callable[..., ActionChunk]:
    rows = np.zeros((actor.horizon, 2))

    def act(observation: Observation, subgoal: Any, prefix: Any = None) -> ActionChunk:
        rows[:] = actor.act(observation, subgoal, prefix).rows
        return ActionChunk(rows=rows, dt_s=actor.dt_s, start_stamp_s=observation.stamp_s)

    return act


def _unseeded(actor: PoseActor) -> Callable[..., ActionChunk]:
    rng = np.random.default_rng(0)

    def act(observation: Observation, subgoal: Any, prefix: Any = None) -> ActionChunk:
        chunk = actor.act(observation, subgoal, prefix)
        return replace(chunk, rows=chunk.rows + rng.standard_normal(chunk.rows.shape))

    return act


def _writing(actor: PoseActor) -> Callable[..., ActionChunk]:
    def act(observation: Observation, subgoal: Any, prefix: Any = None) -> ActionChunk:
        chunk = actor.act(observation, subgoal, prefix)
        observation.state[0] = 9.0
        return chunk

    return act


def test_an_actor_that_reuses_its_rows_is_found() -> None:
    actor = _actor()
    with pytest.raises(NotConforming, match="overwrote"):
        check_actor(_Broken(actor, act=_shared_rows(actor)))


def test_an_actor_that_is_not_reproducible_is_found() -> None:
    actor = _actor()
    with pytest.raises(NotConforming, match="not reproducible"):
        check_actor(_Broken(actor, act=_unseeded(actor)))


def test_an_actor_that_writes_into_the_observation_is_found() -> None:
    actor = _actor()
    with pytest.raises(NotConforming, match="wrote into the observation"):
        check_actor(_Broken(actor, act=_writing(actor)))


def test_missing_members_are_all_named() -> None:
    class Nothing:
        horizon = 3

    with pytest.raises(
        NotConforming, match=r"Nothing is no Actor: it lacks embodiment, subgoal_spec, dt_s, reset, act"
    ):
        check_actor(Nothing())
    checks: list[Callable[[Any], None]] = [check_environment, check_robot, lambda part: check_planner(part, ARM)]
    for check in checks:
        with pytest.raises(NotConforming, match="it lacks"):
            check(Nothing())


def test_a_planner_without_reset_of_its_count_is_found() -> None:
    planner = KnownPlanner(SPEC)
    with pytest.raises(NotConforming, match="not reproducible"):
        check_planner(_Broken(planner, reset=lambda seed: None), ARM)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": np.zeros(3, dtype=np.bool_)}, "mask"),
        ({"progress": 1.5}, "progress"),
        ({"time_to_live_s": 0.0}, "time_to_live_s"),
        ({"tokens": np.zeros((2, 3))}, "float64"),
    ],
)
def test_each_field_of_a_subgoal_is_checked(changes: dict[str, Any], words: str) -> None:
    planner = KnownPlanner(SPEC)

    def plan(observation: Observation) -> LatentSubgoal:
        return replace(planner.plan(observation), **changes)

    with pytest.raises(NotConforming, match=words):
        check_planner(_Broken(planner, plan=plan), ARM)


def _world() -> ReachEnvironment:
    return ReachEnvironment(ARM, np.zeros(2))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"control_dt_s": 0.01}, "moved the stamp"),
        ({"instruction": None}, "instruction"),
        ({"step": lambda action: (0, 0.0, False, {})}, "must give"),
        ({"step": lambda action: (0, np.nan, False, False, {})}, "reward"),
        ({"step": lambda action: (0, 0.0, 1, False, {})}, "terminated"),
        ({"observe": lambda: Observation(stamp_s=0.0, state=np.zeros(5))}, "state has shape"),
        ({"reset": lambda seed: None}, "reset"),
    ],
)
def test_each_part_of_an_environment_is_checked(members: dict[str, Any], words: str) -> None:
    with pytest.raises(NotConforming, match=words):
        check_environment(_Broken(_world(), **members))


def test_an_environment_that_ignores_the_seed_is_found() -> None:
    world = _world()
    seeds = iter(range(9))
    with pytest.raises(NotConforming, match="not reproducible"):
        check_environment(_Broken(world, reset=lambda seed: world.reset(seed=next(seeds))))


def test_a_robot_whose_stamps_go_back_is_found() -> None:
    robot, stamps_s = IdealRobot(ARM, SimulatedClock()), iter([3.0, 2.0])
    with pytest.raises(NotConforming, match="went back"):
        check_robot(_Broken(robot, observe=lambda: replace(robot.observe(), stamp_s=next(stamps_s))))
    assert robot.closed, "closed even though the check failed"


def test_faults_follow_their_script() -> None:
    actor = FaultyActor(_actor(), ["none", "error", "nan"])
    observation = ARM.fake_observation(np.random.default_rng(0))
    assert np.isfinite(actor.act(observation, None).rows).all()
    with pytest.raises(InjectedError, match="call 1"):
        actor.act(observation, None)
    for _ in range(2):
        assert np.isnan(actor.act(observation, None).rows).any()


class ReachExpert:
    """Names the pose; with `memory` not the first time it is asked."""

    def __init__(self, environment: ReachEnvironment, *, memory: bool = False, target: Any = None) -> None:
        self.target = np.zeros(2) if target is None else target
        self.memory, self.asked = memory, 0

    def reset(self) -> None:
        """Forget nothing."""

    def act(self) -> Any:
        self.asked += 1
        return self.target + 0.3 if self.memory and self.asked == 1 else self.target


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": True}, "it remembers"),
        ({"target": np.zeros(3)}, "expected 2 finite numbers"),
        ({"target": np.array([0.0, np.nan])}, "expected 2 finite numbers"),
        ({"target": np.array([0.5, 0.5])}, "did not solve seed 0 .* in 500 steps"),
    ],
)
def test_an_expert_that_breaks_its_protocol_is_found(options: dict[str, Any], words: str) -> None:
    environment = ReachEnvironment(ARM, np.zeros(2))
    check_expert(ReachExpert, environment)
    with pytest.raises(NotConforming, match=words):
        check_expert(lambda each: ReachExpert(each, **options), environment)
    with pytest.raises(NotConforming, match="object is no Expert: it lacks reset, act"):
        check_expert(lambda _: object(), environment)  # type: ignore[arg-type,return-value]


class Rewound(ReachEnvironment):
    """Goes back, or elsewhere."""

    elsewhere_rad = 0.0
    clock_s = 0.0

    def snapshot(self) -> Any:
        return self.observe().state

    def restore(self, snapshot: Any, *, restart_clock: bool = False) -> None:
        self._steps, self._clock = 0, SimulatedClock()
        self._clock.sleep_until_s(self.clock_s)
        self._robot = IdealRobot(self.embodiment, self._clock, snapshot)
        self._pull = self.elsewhere_rad

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return super().step(np.clip(action + getattr(self, "_pull", 0.0), ARM.lower, ARM.upper))


def test_an_environment_that_cannot_really_be_set_back_is_found() -> None:
    check_environment(Rewound(ARM, np.zeros(2)))
    for attribute, value, words in (
        ("elsewhere_rad", 0.1, "led elsewhere: the same actions"),
        ("clock_s", 0.5, "left the stamp at 0.5 s, expected 0"),
    ):
        broken = Rewound(ARM, np.zeros(2))
        setattr(broken, attribute, value)
        with pytest.raises(NotConforming, match=words):
            check_environment(broken)


class _Seedless(KnownPlanner):
    def reset(self) -> None:  # type: ignore[override]
        """As if nobody said which seed."""


class _Looking(KnownPlanner):
    def plan(self, observation: Observation) -> LatentSubgoal:
        """Through a camera."""
        assert observation.images["head"].size
        return super().plan(observation)


class _Forgetful(PoseActor):
    def act(self, observation: Observation, subgoal: LatentSubgoal | None) -> ActionChunk:  # type: ignore[override]
        """Without a prefix."""
        return super().act(observation, subgoal)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_planner(_Seedless(SPEC), ARM), r"_Seedless\.reset\(seed=0\), which it doesn't take: .*'seed'"),
        (lambda: check_planner(KnownPlanner, ARM), r"KnownPlanner is a class: .* such as KnownPlanner\(\.\.\.\)"),
        (lambda: check_actor(PoseActor), "PoseActor is a class"),
        (
            lambda: check_planner(_Looking(SPEC), fake_embodiment(2)),
            r"_Looking\.plan\(\) raised KeyError \('head'\) on an observation of 'fake'.* cameras: none",
        ),
        (
            lambda: check_actor(_Forgetful(ARM, SPEC, np.array([0.4, -0.4]))),
            r"_Forgetful\.act\(observation, subgoal, prefix\), which it doesn't take: too many positional",
        ),
    ],
)
def test_a_beginner_s_mistakes_are_told_in_a_sentence(check: Callable[[], None], message: str) -> None:
    with pytest.raises(NotConforming, match=message):
        check()
