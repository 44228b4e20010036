"""One expert for several robots: padding leaks nowhere, each is scaled by its own, and one is cut out unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.actor.action_expert import ActionExpert, Condition
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import flow_loss
from dualsys.actor.many_robots import ManyRobotExpert
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.actor.normalization import ControllerStatistics, Statistics, StatisticsByRobot
from dualsys.bridge.parts import PartConfig, build_actor
from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, write_manifest
from dualsys.embodiment import EmbodimentSpec, Joint, SubgoalSpec
from dualsys.errors import CheckpointError, SpecMismatch
from dualsys.messages import LatentSubgoal, Observation
from dualsys.testing import check_actor

SPEC = SubgoalSpec(num_tokens=2, dim=4)
SHAPE = FlowActorConfig(horizon=4, width=16, depth=2, num_heads=2, smoothing_window=3)


def robot(name: str, num_joints: int, num_more_states: int = 0) -> EmbodimentSpec:
    names = tuple(f"{name}-{number}" for number in range(num_joints))
    return EmbodimentSpec(
        name=name,
        joints=tuple(Joint(name=each, lower=-9, upper=9) for each in names),
        state_names=(*names, *(f"more-{number}" for number in range(num_more_states))),
    )


WIDE, NARROW = robot("wide", 5, 2), robot("narrow", 2)
ROBOTS = (WIDE, NARROW)


def statistics(of: EmbodimentSpec, mean: float) -> ControllerStatistics:
    states, actions = of.num_states, of.num_actions
    return ControllerStatistics(
        state=Statistics(mean=(mean,) * states, std=(2.0,) * states),
        action=Statistics(mean=(mean,) * actions, std=(0.5,) * actions),
    )


BY_ROBOT = StatisticsByRobot(robots={"wide": statistics(WIDE, 1.0), "narrow": statistics(NARROW, -1.0)})


def make_actor() -> ManyRobotActor:
    torch.manual_seed(0)
    actor = ManyRobotActor.build(SHAPE, robots=ROBOTS, subgoal_spec=SPEC, statistics=BY_ROBOT)
    for parameter in actor.expert.parameters():  # padded places, too: whatever is there must not matter
        torch.nn.init.normal_(parameter, std=0.3)
    return actor


@pytest.fixture(scope="module")
def actor() -> ManyRobotActor:
    return make_actor()


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    g = torch.Generator().manual_seed(seed)
    condition = Condition(
        state_BX=torch.randn(3, 7, generator=g),
        subgoal_BKC=torch.randn(3, 2, 4, generator=g),
        mask_BK=torch.ones(3, 2, dtype=torch.bool),
        age_B=torch.rand(3, generator=g),
        robot_B=torch.tensor([1, 0, 1]),
    )
    return torch.randn(3, 4, 5, generator=g), torch.rand(3, generator=g), condition


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), junk=st.floats(-1e6, 1e6))
def test_nothing_in_padded_places_reaches_a_valid_one(actor: ManyRobotActor, seed: int, junk: float) -> None:
    x_BAU, t_B, condition = batch(seed)
    clean = actor.expert(x_BAU, t_B, condition)
    dirty_x, dirty_state = x_BAU.clone(), condition.state_BX.clone()
    dirty_x[[0, 2], :, 2:] = junk
    dirty_state[[0, 2], 2:] = junk
    dirty = actor.expert(dirty_x, t_B, condition._replace(state_BX=dirty_state))
    assert torch.equal(clean, dirty)
    assert not clean[[0, 2], :, 2:].any()
    assert clean[1].abs().min() > 0


def test_padded_places_have_no_gradient_and_no_loss(actor: ManyRobotActor) -> None:
    x_BAU, t_B, condition = batch(3)
    data = torch.randn(x_BAU.shape)
    counts = torch.from_numpy(
        BY_ROBOT.normalized(np.zeros((3, 7)), np.zeros((3, 4, 5)), np.array([1, 0, 1])).counts_NU
    )[:, None]

    def loss(target: torch.Tensor) -> torch.Tensor:
        return flow_loss(actor.expert(x_BAU, t_B, condition), x_BAU, target, counts)

    other = data.clone()
    other[[0, 2], :, 2:] += 100.0
    assert torch.equal(loss(data), loss(other))
    noisy = x_BAU.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(actor.expert(noisy, t_B, condition).square().sum(), noisy)
    assert not gradient[[0, 2], :, 2:].any()
    assert gradient[[0, 2], :, :2].abs().min() > 0


@pytest.mark.parametrize("index", [0, 1])
def test_a_robot_that_is_cut_out_has_the_same_velocities(actor: ManyRobotActor, index: int) -> None:
    x_BAU, t_B, condition = batch(5)
    told = condition._replace(robot_B=torch.full((3,), index))
    one = actor.expert.of_robot(index)
    assert type(one) is ActionExpert
    u, x = ROBOTS[index].num_actions, ROBOTS[index].num_states
    alone = one(x_BAU[..., :u], t_B, condition._replace(state_BX=condition.state_BX[:, :x], robot_B=None))
    torch.testing.assert_close(actor.expert(x_BAU, t_B, told)[..., :u], alone, atol=1e-5, rtol=1e-5)


def test_a_fresh_robot_begins_as_an_expert_of_its_own_does() -> None:
    torch.manual_seed(1)
    expert = ManyRobotActor.build(SHAPE, robots=ROBOTS, subgoal_spec=SPEC, statistics=BY_ROBOT).expert
    for index, spec in enumerate(ROBOTS):
        one = expert.of_robot(index)
        assert one.action_in.weight.abs().max().item() == pytest.approx(spec.num_actions**-0.5, rel=0.2)
        assert not one.action_out.weight.any()


def test_robots_in_a_batch_are_scaled_by_their_own() -> None:
    made = BY_ROBOT.normalized(np.ones((2, 7)), np.ones((2, 4, 5)), np.array([0, 1]))
    np.testing.assert_allclose(made.states_NX, [[0] * 7, [1, 1, 0, 0, 0, 0, 0]])
    np.testing.assert_allclose(made.actions_NAU[:, 0], [[0] * 5, [4, 4, 0, 0, 0]])
    np.testing.assert_array_equal(made.counts_NU, [[1] * 5, [1, 1, 0, 0, 0]])


def test_an_actor_of_each_robot_conforms_and_moves_as_wide_as_it_is(actor: ManyRobotActor) -> None:
    for spec in ROBOTS:
        one = actor.for_robot(spec.name)
        check_actor(one)
        assert one.embodiment == spec
        assert one.act(Observation(stamp_s=0.0, state=np.zeros(spec.num_states)), None).rows.shape == (
            4,
            spec.num_actions,
        )
    with pytest.raises(SpecMismatch, match=r"unknown robot 'narow'.*Did you mean 'narrow'.*narrow, wide"):
        actor.for_robot("narow")


def save(actor: ManyRobotActor, folder: Path) -> Path:
    blank = ModuleEntry(name="null")
    manifest = Manifest(
        format=FORMAT,
        name="t",
        embodiment=WIDE,
        robots=ROBOTS,
        subgoal=SPEC,
        planner=blank,
        actor=blank,
        versions={},
    )
    entry = actor.save(Checkpoint(folder=folder, manifest=manifest))
    write_manifest(folder, manifest.model_copy(update={"actor": entry}))
    return folder


def test_a_checkpoint_knows_its_robots_and_is_opened_for_one(actor: ManyRobotActor, tmp_path: Path) -> None:
    folder = save(actor, tmp_path)
    goal = LatentSubgoal(tokens=np.ones((2, 4), np.float32), observation_stamp_s=0.0)
    for spec in ROBOTS:
        seen = Observation(stamp_s=0.1, state=np.full(spec.num_states, 0.3))
        again = FlowActor.from_checkpoint(Checkpoint.open(folder, embodiment=spec))
        assert again.embodiment == spec
        assert np.array_equal(again.act(seen, goal).rows, actor.for_robot(spec.name).act(seen, goal).rows)
        built = build_actor(PartConfig(checkpoint=folder), spec, SPEC)
        assert np.array_equal(built.act(seen, goal).rows, again.act(seen, goal).rows)
    assert Checkpoint.open(folder).manifest.embodiment == WIDE
    with pytest.raises(CheckpointError, match=r"'third' is none of them: 'wide' \(5 joints.*'narrow' \(2 joints"):
        Checkpoint.open(folder, embodiment=robot("third", 3))
    with pytest.raises(CheckpointError, match="differ in joints"):
        Checkpoint.open(folder, embodiment=WIDE.model_copy(update={"joints": NARROW.joints}))


def test_what_doesn_t_fit_is_refused(actor: ManyRobotActor) -> None:
    x_BAU, t_B, condition = batch(0)
    with pytest.raises(ValueError, match="must be told which"):
        actor.expert(x_BAU, t_B, condition._replace(robot_B=None))
    with pytest.raises(ValueError, match="names no robots"):
        ManyRobotExpert(SHAPE, num_subgoal_tokens=2, subgoal_dim=4)
    with pytest.raises(SpecMismatch, match="of 2 robots, not of one"):
        FlowActor.build(actor.config, embodiment=WIDE, subgoal_spec=SPEC, statistics=BY_ROBOT.robots["wide"])
    swapped = StatisticsByRobot(robots=dict(reversed(BY_ROBOT.robots.items())))
    with pytest.raises(SpecMismatch, match="statistics are of"):
        ManyRobotActor.build(SHAPE, robots=ROBOTS, subgoal_spec=SPEC, statistics=swapped)
    with pytest.raises(ValueError, match="names of their own"):
        FlowActorConfig(robots=(("a", 1, 1), ("a", 2, 2)))
