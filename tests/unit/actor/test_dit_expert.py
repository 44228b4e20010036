"""The GR00T-like actor: one robot among many, padding, what is read of a subgoal, what it refuses, its round trip."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from dualsys.actor.action_expert import Condition
from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import DiTExpert, Features, flow_times, sampling_buckets
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import Solver, evaluation_times, masked_mean
from dualsys.actor.heads import Draws
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.checkpoint import Checkpoint, write_manifest
from dualsys.embodiment import EmbodimentSpec, Joint, SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, SpecMismatch
from dualsys.messages import ActionPrefix, LatentSubgoal, Observation
from dualsys.testing import check_actor
from tests.unit.actor.saved import saved

SPEC = SubgoalSpec(num_tokens=5, dim=12)
ARM = EmbodimentSpec(
    name="two-joints",
    joints=(Joint(name="a", lower=-1, upper=1), Joint(name="b", lower=-2, upper=2)),
    state_names=("a", "b", "speed"),
)
STATISTICS = ControllerStatistics(
    state=Statistics(mean=(0, 0, 1), std=(1, 2, 1)), action=Statistics(mean=(0.1, 0.2), std=(1, 2))
)
SMALL: dict[str, Any] = {
    "horizon": 6,
    "max_actions": 4,
    "max_states": 5,
    "num_robots": 3,
    "depth": 4,
    "num_heads": 2,
    "head_width": 8,
    "projector_width": 16,
    "context_width": 12,
    "context_depth": 1,
    "context_heads": 2,
    "max_positions": 8,
    "num_subgoal_tokens": 5,
    "num_image_tokens": 2,
}
OBSERVATION = Observation(stamp_s=1.0, state=np.array([0.1, -0.2, 0.3]))


def config(**changes: Any) -> DiTConfig:
    return DiTConfig.model_validate({**SMALL, **changes})


def loud(expert: DiTExpert) -> DiTExpert:
    """With weights of size: the first ones would hide what depends on what."""
    torch.manual_seed(0)
    for parameter in expert.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return expert


def actor(**changes: Any) -> FlowActor:
    built = FlowActor.build(config(**changes), embodiment=ARM, subgoal_spec=SPEC, statistics=STATISTICS)
    loud(built.expert)
    return built


def subgoal(seed: int = 0, mask: np.ndarray | None = None) -> LatentSubgoal:
    tokens = np.random.default_rng(seed).normal(size=(5, 12)).astype(np.float32)
    return LatentSubgoal(tokens=tokens, observation_stamp_s=0.5, mask=mask)


def rows(ours: FlowActor, goal: LatentSubgoal | None, observation: Observation = OBSERVATION) -> np.ndarray:
    ours.reset(seed=3)
    return ours.act(observation, goal).rows


@pytest.mark.parametrize(
    "changes", [{}, {"reads": "text-and-image"}, {"num_future_tokens": 3, "solver": "heun"}, {"kept_rows": 4}]
)
def test_it_conforms(changes: dict[str, Any]) -> None:
    check_actor(actor(**changes))


def test_chunks_are_as_narrow_as_the_robot_and_depend_on_subgoal_and_state() -> None:
    ours = actor()
    assert rows(ours, subgoal()).shape == (6, 2)
    later = replace(OBSERVATION, state=np.array([0.1, -0.2, 0.4]))
    known = [rows(ours, subgoal(0)), rows(ours, subgoal(1)), rows(ours, None), rows(ours, subgoal(0), later)]
    assert all(not np.allclose(a, b) for i, a in enumerate(known) for b in known[:i])


def test_a_chunk_may_be_of_the_first_rows_alone() -> None:
    """The others are sampled with them: what is kept is what it would have been."""
    whole, short = actor(), actor(kept_rows=4)
    assert (whole.horizon, short.horizon) == (6, 4)
    np.testing.assert_array_equal(rows(short, subgoal()), rows(whole, subgoal())[:4])


def test_each_robot_has_projectors_of_its_own_and_the_rest_is_shared() -> None:
    first, second = actor(robot=0), actor(robot=2)
    assert not np.allclose(rows(first, subgoal()), rows(second, subgoal()))
    for name, value in second.expert.state_dict().items():
        if name.split(".")[0] in ("state_in", "action_in", "action_out"):
            value[2] = value[0]
    np.testing.assert_array_equal(rows(first, subgoal()), rows(second, subgoal()))


@pytest.mark.parametrize("reads", ["everything", "text-and-image"])
def test_what_is_masked_is_not_read(reads: str) -> None:
    ours = actor(reads=reads)
    mask = np.array([True, True, True, False, False])
    one, other = subgoal(0, mask), subgoal(0, mask)
    other.tokens[3:] = 7.0
    np.testing.assert_array_equal(rows(ours, one), rows(ours, other))
    other.tokens[2] = 7.0
    assert not np.allclose(rows(ours, one), rows(ours, other))


def test_a_category_for_each_element_is_the_number_for_all() -> None:
    layer = CategoryLinear(3, 4, 5)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 2, 4)
    each = layer(x, torch.tensor([2, 0, 2]))
    for row, category in enumerate((2, 0, 2)):
        torch.testing.assert_close(each[row], layer(x[row : row + 1], category)[0])
        torch.testing.assert_close(each[row], x[row] @ layer.weight[category] + layer.bias[category])


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_taken_apart_it_is_the_same_field(solver: str) -> None:
    expert = loud(DiTExpert(config(solver=solver, num_inference_steps=7, reads="text-and-image", robot=1))).eval()
    mask = torch.tensor([[True, True, True, True, False]])
    features = Features(torch.randn(1, 5, 12), mask, torch.arange(5)[None] < 2)
    x, state = torch.randn(1, 6, 4), torch.randn(1, 5)
    begun = expert.begin(expert.remember(features.tokens_BKC, mask), state, torch.zeros(1), None)
    times = evaluation_times(7, Solver(solver))
    for time, bucket in zip(times, sampling_buckets(expert.config), strict=True):
        told = expert.tell(time[None])
        assert int(told[0, 0]) == bucket
        whole = expert(x, torch.tensor([(bucket + 0.5) / 1000]), features, state, 1)
        torch.testing.assert_close(expert.step(x, told, begun), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", range(1, 60))
def test_buckets_are_counted_as_the_originals_count_them(steps: int) -> None:
    expert = DiTExpert(config(num_inference_steps=steps, depth=1, context_depth=0))
    found = [int(expert.tell(time[None])[0, 0]) for time in evaluation_times(steps)]
    assert found == [int(step / float(steps) * 1000) for step in range(steps)]


def test_in_training_the_state_is_sometimes_a_mask_token() -> None:
    expert = loud(DiTExpert(config(state_dropout=0.5, state_mask_token=True, dropout=0.0))).train()
    features = Features(torch.randn(1, 5, 12), torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 5, dtype=torch.bool))
    x, t = torch.randn(1, 6, 4), torch.tensor([0.5])
    seen = [expert(x, t, features, torch.full((1, 5), float(state)), 0).detach() for state in range(16)]
    masked = [a for i, a in enumerate(seen) if any(torch.equal(a, b) for j, b in enumerate(seen) if i != j)]
    assert 2 <= len(masked) <= 14
    assert all(torch.equal(masked[0], other) for other in masked)


def test_the_loss_is_the_velocity_s_error_held_behind_an_episode_s_end_and_reaches_every_weight() -> None:
    expert = loud(DiTExpert(config(num_future_tokens=2, reads="text-and-image", dropout=0.0)))
    given = Condition(
        state_BX=torch.randn(2, 5),
        subgoal_BKC=torch.randn(2, 5, 12),
        mask_BK=torch.ones(2, 5, dtype=torch.bool),
        age_B=torch.zeros(2),
        robot_B=torch.tensor([0, 2]),
    )
    noise, data, level = torch.randn(2, 6, 4), torch.randn(2, 6, 4), torch.rand(2)
    real = torch.arange(6).expand(2, 6) < torch.tensor([[6], [4]])
    errors = expert.loss(data, real, given, Draws(noise, level))
    t = flow_times(expert.config, level)[:, None, None]
    held = torch.where(real[..., None], data, data[:, 3:4])
    features = Features(given.subgoal_BKC, given.mask_BK, torch.arange(5).expand(2, 5) < 2)
    velocity = expert((1 - t) * noise + t * held, t.flatten(), features, given.state_BX, torch.tensor([0, 2]))
    torch.testing.assert_close(errors, (velocity - (held - noise)).square())
    other = torch.where(real[..., None], data, torch.full_like(data, 9.0))
    torch.testing.assert_close(expert.loss(other, real, given, Draws(noise, level)), errors)
    torch.autograd.backward(masked_mean(errors[..., :2], real[..., None]))
    silent = [name for name, p in expert.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize(("draw", "low", "high"), [("scaled", 0.0, 0.999), ("shifted", -0.0011, 1.0)])
def test_training_times_are_skewed_towards_noise(draw: str, low: float, high: float) -> None:
    times = flow_times(config(time_draw=draw), torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    assert low <= float(times.min())
    assert float(times.max()) <= high
    assert float(times.mean()) == pytest.approx(0.4, abs=0.01)


def test_frozen_rows_of_a_prefix_stay() -> None:
    ours = actor()
    told = np.linspace(0.0, 0.5, 8).reshape(4, 2)
    chunk = ours.act(OBSERVATION, subgoal(), ActionPrefix(rows=told, inference_delay=2, guidance="freeze-and-ramp"))
    np.testing.assert_allclose(chunk.rows[:2], told[:2], atol=1e-6)
    assert not np.allclose(chunk.rows[2:4], told[2:4])


def test_compiled_rows_need_a_graph_and_onnx_has_none() -> None:
    with pytest.raises(ConfigError, match="'onnx' has no graph of a DiTExpert; it has eager, packed and compiled"):
        actor().with_backend("onnx")
    np.testing.assert_array_equal(rows(actor().with_backend("eager"), subgoal()), rows(actor(), subgoal()))


def test_saved_and_loaded_it_acts_the_same(tmp_path: Path) -> None:
    ours = actor(reads="text-and-image")
    checkpoint = saved(ours, tmp_path / "c")
    loaded = FlowActor.from_checkpoint(checkpoint)
    np.testing.assert_array_equal(rows(loaded, subgoal()), rows(ours, subgoal()))
    entry = checkpoint.manifest.actor
    deeper = entry.model_copy(update={"config": {**entry.config, "depth": 6}})
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update={"actor": deeper}))
    with pytest.raises(CheckpointError, match="don't fit its config"):
        FlowActor.from_checkpoint(Checkpoint.open(checkpoint.folder))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="has 3 states and 2 actions; the expert takes 2 and 4 at most"):
        actor(max_states=2)
    with pytest.raises(SpecMismatch, match=r"reads 7 features of width 12, subgoals carry 5 of 12"):
        actor(num_subgoal_tokens=7)
    with pytest.raises(SpecMismatch, match="reads 2 successive states"):
        actor(state_history=2)
    narrow = ControllerStatistics(state=STATISTICS.action, action=STATISTICS.action)
    with pytest.raises(SpecMismatch, match=r"statistics are for 2 states and 2 actions"):
        FlowActor.build(config(), embodiment=ARM, subgoal_spec=SPEC, statistics=narrow)
    for changes, message in (
        ({"robot": 3}, "robot 3 is none of the 3"),
        ({"state_mask_token": True}, "set state_dropout above 0"),
        ({"num_image_tokens": 6}, "exceeds num_subgoal_tokens"),
        ({"kept_rows": 7}, "kept_rows 7 exceeds the horizon 6"),
        ({"kept_rows": 4, "smoothing_window": 5}, "odd from 3 to a chunk's 4 rows"),
        ({"horizon": 9}, "horizon 9 exceeds max_positions 8"),
    ):
        with pytest.raises(ValidationError, match=message):
            config(**changes)
