"""The engine `packed`: eager's rows for every kind of expert, with the weights of when it was built, on a processor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.backends import build_sampler, measure_parity
from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.packed_layers import PackedCategoryLinear, packed
from dualsys.actor.packed_linear import PackedLinear
from dualsys.actor.sampling import Array, Moment, Sampler
from dualsys.errors import ConfigError
from dualsys.messages import ActionPrefix, Observation
from tests.unit.actor.joint_parts import FAMILIES, joint_actor
from tests.unit.actor.sampled_experts import VISION, make_actor, make_expert, subgoal
from tests.unit.actor.test_dit_expert import SMALL, loud


def dit(**changes: Any) -> DiTExpert:
    config = DiTConfig.model_validate({**SMALL, "robot": 1, **changes})
    return loud(DiTExpert(config).eval())


EXPERTS: dict[str, Callable[[], Any]] = {
    "flow": make_expert,
    "flow with an eye": lambda: make_expert(vision=VISION),
    "dit": dit,
    "dit, alternating": lambda: dit(reads="text-and-image"),
}


@pytest.mark.parametrize("name", [*EXPERTS, *FAMILIES])
def test_rows_are_eagers(name: str) -> None:
    expert = EXPERTS[name]() if name in EXPERTS else joint_actor(name).expert
    assert measure_parity(build_sampler(expert, "packed"), expert).difference < 1e-5


@pytest.mark.parametrize("name", list(FAMILIES))
def test_subgoals_of_any_length_come_and_go(name: str) -> None:
    """Rows' keys lie behind a subgoal's in its own place: no other's may be met there."""
    expert = joint_actor(name).expert
    packs, eager = build_sampler(expert, "packed"), build_sampler(expert, "eager")
    for real in (3, 5, 3, 0, 5):
        for seed in (0, 1):
            ours, plain = (drawn(each, expert, seed=seed, real=real) for each in (packs, eager))
            np.testing.assert_allclose(ours, plain, atol=1e-5)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_kept_subgoals_serve_chunks_in_turn(name: str) -> None:
    """A state is read in a chunk's first step, behind the subgoal's keys: no other chunk's may be met there."""
    expert = joint_actor(name).expert
    packs, eager = build_sampler(expert, "packed"), build_sampler(expert, "eager")
    kept = [(remembered(packs, expert, seed=seed), remembered(eager, expert, seed=seed)) for seed in (0, 1)]
    for turn, seed in ((0, 2), (1, 2), (1, 3), (0, 3), (0, 2)):
        now = moment_of(expert, seed=seed)
        ours, plain = (each.sample(memory, now) for each, memory in zip((packs, eager), kept[turn], strict=True))
        np.testing.assert_allclose(ours, plain, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_the_plain_one(rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(7, 5, bias=bias)
    x = torch.randn(2, rows, 7)
    with torch.inference_mode():
        made = PackedLinear(linear.weight, linear.bias, rows=50)
        torch.testing.assert_close(made(x), linear(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(made(x.mT.contiguous().mT), linear(x), rtol=1e-5, atol=1e-6)


def test_weights_are_those_of_when_it_was_built() -> None:
    expert = joint_actor("pi0").expert
    sampler = build_sampler(expert, "packed")
    before = drawn(sampler, expert)
    for parameter in expert.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(drawn(sampler, expert), before)
    assert np.abs(before).max() > 0.1


def test_each_robot_has_its_own_projectors() -> None:
    torch.manual_seed(0)
    layer = CategoryLinear(3, 4, 2)
    x = torch.randn(1, 5, 4)
    with torch.inference_mode():
        made = PackedCategoryLinear(layer, 2, rows=5)
        torch.testing.assert_close(made(x, 2), layer(x, 2), rtol=1e-5, atol=1e-6)
        with pytest.raises(ValueError, match="packed for robot 2, asked for 1"):
            made(x, 1)


def test_a_packed_expert_has_no_copy_of_its_large_weights() -> None:
    expert = make_expert()
    made = packed(expert, rows=6)
    left = sum(weight.numel() for weight in made.parameters())
    assert 0 < left < 0.1 * sum(weight.numel() for weight in expert.parameters())
    assert all(weight.requires_grad for weight in expert.parameters())


def test_half_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"these are torch.bfloat16 on cpu. Use 'compiled' there"):
        packed(make_expert().bfloat16(), rows=6)


def test_guided_chunks_are_sampled_by_eager_and_are_the_same() -> None:
    actor = make_actor(noise="held")
    observation = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))
    prefix = ActionPrefix(rows=np.zeros((3, 2)), inference_delay=1, guidance="identity")
    chunks = [each.act(observation, subgoal(0), prefix).rows for each in (actor, actor.with_backend("packed"))]
    np.testing.assert_array_equal(chunks[1], chunks[0])


def drawn(sampler: Sampler, expert: Any, *, seed: int = 0, real: int | None = None) -> Array:
    """Rows of a moment after a subgoal of which `real` tokens count, all unless told."""
    return sampler.sample(remembered(sampler, expert, seed=seed, real=real), moment_of(expert, seed=seed))


def remembered(sampler: Sampler, expert: Any, *, seed: int, real: int | None = None) -> Any:
    """A subgoal."""
    tokens = np.random.default_rng(seed).standard_normal(expert.subgoal_shape).astype(np.float32)
    length = tokens.shape[-2]
    return sampler.remember(tokens, np.arange(length) < (length if real is None else real))


def moment_of(expert: Any, *, seed: int) -> Moment:
    """Noise and a state."""
    rng = np.random.default_rng(seed)
    noise, state = (rng.standard_normal(shape).astype(np.float32) for shape in _shapes(expert))
    return Moment(noise, state, 0.1)


def _shapes(expert: Any) -> list[tuple[int, ...]]:
    return [(expert.config.horizon, expert.num_actions), (expert.num_states,)]


def test_an_actor_takes_it_by_name() -> None:
    actor = joint_actor("pi05")
    assert isinstance(actor, FlowActor)
    assert type(actor.with_backend("packed")._sampler).__name__ == "PackedSampler"
