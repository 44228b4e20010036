"""Rows relative to the state at the chunk's observation: there and back, closed forms, and chunks that go on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.actor.normalization import ControllerStatistics, Statistics, StatisticsByRobot
from dualsys.embodiment import EmbodimentSpec, Joint, SubgoalSpec
from dualsys.errors import SpecMismatch
from dualsys.messages import ActionPrefix, FloatArray, Guidance, LatentSubgoal, Observation
from tests.unit.actor.saved import saved

SPEC = SubgoalSpec(num_tokens=4, dim=8)
JOINTS = (Joint(name="a", lower=-9, upper=9), Joint(name="b", lower=-9, upper=9))
ARM = EmbodimentSpec(name="arm", joints=JOINTS, state_names=("speed", "b", "a"))
NAMELESS = EmbodimentSpec(name="arm", joints=JOINTS, state_names=("state 0", "state 1", "state 2"))
STATE = Statistics(mean=(0, 0, 0), std=(1, 2, 1))
MEAN, STD = np.array([0.1, 0.2]), np.array([1.0, 2.0])
HERE = Observation(stamp_s=1.0, state=np.array([0.3, -0.7, 1.1]))
WHERE = np.array([1.1, -0.7])
"""Of joints a and b in it."""
CONFIG = FlowActorConfig(horizon=6, width=16, depth=4, num_heads=2, smoothing_window=3, max_prefix=3)


def action(mean: FloatArray) -> Statistics:
    return Statistics(mean=tuple(mean), std=tuple(STD))


ABSOLUTE = ControllerStatistics(state=STATE, action=action(MEAN))
RELATIVE = ControllerStatistics(state=STATE, action=action(MEAN - WHERE), relative_to=(2, 1))
"""The same rows from where `HERE` is."""


def make_actor(
    statistics: ControllerStatistics, robot: EmbodimentSpec = ARM, config: FlowActorConfig = CONFIG
) -> FlowActor:
    torch.manual_seed(0)
    actor = FlowActor.build(config, embodiment=robot, subgoal_spec=SPEC, statistics=statistics)
    for parameter in actor.expert.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return actor


def subgoal() -> LatentSubgoal:
    tokens = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    return LatentSubgoal(tokens=tokens, observation_stamp_s=0.5)


def prefix_of(guidance: Guidance, rows: int = 5) -> ActionPrefix:
    path = WHERE + 0.1 * np.cumsum(np.random.default_rng(1).normal(size=(rows, 2)), axis=0)
    return ActionPrefix(rows=path, inference_delay=2, guidance=guidance)


def rows_of(actor: FlowActor, prefix: ActionPrefix | None = None) -> FloatArray:
    actor.reset(seed=3)
    return actor.act(HERE, subgoal(), prefix).rows


STATES = arrays(np.float64, (7, 3), elements=st.floats(-5, 5))
ROWS = arrays(np.float64, (7, 4, 3), elements=st.floats(-5, 5))
REFERENCES = st.tuples(*[st.one_of(st.none(), st.integers(0, 2))] * 3)


@settings(max_examples=60)
@given(states=STATES, rows=ROWS, relative_to=REFERENCES, by_row=st.booleans())
def test_rows_come_back_whatever_is_relative_to_what(
    states: FloatArray, rows: FloatArray, relative_to: tuple[int | None, ...], by_row: bool
) -> None:
    each = tuple(Statistics(mean=(row, 0.5, -1), std=(1 + row, 2, 0.3)) for row in range(4))
    statistics = ControllerStatistics(
        state=STATE, action=each[0], relative_to=relative_to, action_rows=each if by_row else ()
    )
    there = statistics.rows_normalized(rows, states)
    np.testing.assert_allclose(statistics.rows_denormalized(there, states), rows, atol=1e-12)
    for dimension, reference in enumerate(relative_to):
        origin = 0.0 if reference is None else states[:, None, reference]
        for row in range(4):
            own = each[row if by_row else 0]
            wanted = (rows[:, row, dimension] - np.broadcast_to(origin, (7, 1))[:, 0] - own.mean[dimension]) / (
                own.std[dimension]
            )
            np.testing.assert_allclose(there[:, row, dimension], wanted, atol=1e-12)


def test_a_batch_is_relative_to_each_sample_s_own_state() -> None:
    states = np.array([[0.0, 5.0, 7.0], [0.0, 1.0, 2.0]])
    rows = np.repeat(states[:, None, [2, 1]], 3, axis=1)
    statistics = ControllerStatistics(state=STATE, action=action(np.zeros(2)), relative_to=(2, 1))
    np.testing.assert_array_equal(statistics.normalized(states, rows).actions_NAU, 0.0)


@pytest.mark.parametrize(
    "guidance", [None, "identity", "jacobian", "freeze-and-ramp", "trained-prefix"], ids=lambda name: name or "free"
)
def test_the_same_motion_is_the_same_rows_absolute_or_relative(guidance: Guidance | None) -> None:
    prefix = None if guidance is None else prefix_of(guidance)
    absolute, relative = (rows_of(make_actor(each), prefix) for each in (ABSOLUTE, RELATIVE))
    np.testing.assert_allclose(relative, absolute, atol=2e-5)


def test_a_relative_actor_s_rows_move_with_the_robot() -> None:
    """What it doesn't sense of itself (a scale beyond all) can't change its rows but by where they begin."""
    blind = RELATIVE.model_copy(update={"state": Statistics(mean=(0, 0, 0), std=(1e12, 1e12, 1e12))})
    actor = make_actor(blind)
    there = Observation(stamp_s=1.0, state=HERE.state + np.array([4.0, 0.25, -0.5]))
    first, moved = rows_of(actor), make_actor(blind)
    moved.reset(seed=3)
    np.testing.assert_allclose(moved.act(there, subgoal()).rows - first, np.tile([-0.5, 0.25], (6, 1)), atol=1e-6)


def test_a_chunk_begins_with_the_rows_that_it_is_to_continue() -> None:
    """Rows that run are positions; the new chunk is relative to where the robot is by then."""
    actor = make_actor(RELATIVE, config=CONFIG.model_copy(update={"smoothing_window": 0}))
    prefix = prefix_of("trained-prefix", rows=3)
    np.testing.assert_allclose(rows_of(actor, prefix)[:2], prefix.rows[:2], atol=1e-6)
    frozen = prefix_of("freeze-and-ramp")
    np.testing.assert_allclose(rows_of(actor, frozen)[:2], frozen.rows[:2], atol=1e-6)


@pytest.mark.parametrize("robot", [ARM, NAMELESS], ids=lambda robot: robot.state_names[-1])
def test_a_chunk_rolled_forward_begins_where_the_prefix_ends(robot: EmbodimentSpec) -> None:
    """As the plain chunk of the state that the robot will be in, whether or not states are named as joints are."""
    actor, prefix = make_actor(RELATIVE, robot), prefix_of("roll-forward")
    way = prefix.rows[2] - prefix.rows[0]
    later = Observation(stamp_s=1.0 + 2 * actor.dt_s, state=HERE.state + np.array([0.0, way[1], way[0]]))
    rows = rows_of(actor, prefix)
    actor.reset(seed=3)
    np.testing.assert_array_equal(rows[:2], prefix.rows[:2])
    np.testing.assert_allclose(rows[2:], actor.act(later, subgoal()).rows[:4], atol=1e-6)


def test_a_checkpoint_keeps_what_is_relative_and_old_ones_are_absolute(tmp_path: Path) -> None:
    each = tuple(action(MEAN + row) for row in range(6))
    statistics = RELATIVE.model_copy(update={"action_rows": each, "relative_to": (None, 1)})
    actor = make_actor(statistics)
    again = FlowActor.from_checkpoint(saved(actor, tmp_path / "c"))
    assert again.statistics == statistics
    np.testing.assert_array_equal(rows_of(again), rows_of(actor))
    old = {"state": STATE.model_dump(), "action": action(MEAN).model_dump()}
    assert not ControllerStatistics.model_validate(old).is_relative


def test_one_of_several_robots_is_relative_and_the_other_is_not() -> None:
    other = ARM.model_copy(update={"name": "other"})
    statistics = StatisticsByRobot(robots={"arm": RELATIVE, "other": ABSOLUTE})
    robots = ManyRobotActor.build(CONFIG, robots=[ARM, other], subgoal_spec=SPEC, statistics=statistics)
    states, rows = np.tile(HERE.state, (2, 1)), np.tile(WHERE, (2, 6, 1))
    scaled = statistics.normalized(states, rows, np.array([0, 1]))
    for number, own in enumerate((RELATIVE, ABSOLUTE)):
        np.testing.assert_array_equal(scaled.actions_NAU[number], own.normalized(states, rows).actions_NAU[number])
    for name, own in (("arm", RELATIVE), ("other", ABSOLUTE)):
        assert robots.for_robot(name).statistics == own


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"relative_to": (2,)}, "relative_to has 1 entries for 2 actions"),
        ({"relative_to": (3, None)}, "names state 3; there are states 0 to 2"),
        ({"action_rows": (STATE,)}, "action_rows are of 3 actions"),
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, object], message: str) -> None:
    told = {"state": STATE, "action": action(MEAN), **wrong}
    with pytest.raises(ValidationError, match=message):
        ControllerStatistics.model_validate(told)


def test_statistics_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="statistics are of 5 rows apart, a chunk has 6"):
        make_actor(RELATIVE.model_copy(update={"action_rows": (action(MEAN),) * 5}))
