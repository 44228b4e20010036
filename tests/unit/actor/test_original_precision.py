"""What the pi family's authors keep in float32 when the rest is bfloat16; and each actor traced into one graph."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dualsys.actor.backends import measure_parity
from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.compiled_sampler import CompiledSampler
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.joint_expert import JointExpert
from dualsys.actor.joint_layers import RMSNorm
from dualsys.actor.original_precision import with_original_precision
from dualsys.actor.sampling import EagerSampler
from tests.unit.actor.joint_parts import FAMILIES, joint_actor
from tests.unit.actor.sampled_experts import make_expert
from tests.unit.actor.test_packed import dit

NARROW, WIDE = torch.bfloat16, torch.float32


def narrowed(family: str) -> JointExpert:
    return with_original_precision(joint_actor(family).expert)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_layers_products_are_narrow(family: str) -> None:
    expert = narrowed(family)
    narrow = {name for name, weight in expert.named_parameters() if weight.dtype == NARROW}
    assert narrow == {
        name for name, _ in expert.named_parameters() if ".attention." in name or ".feed_forward." in name
    }
    assert {weight.dtype for name, weight in expert.named_parameters() if name not in narrow} == {WIDE}


@pytest.mark.parametrize("family", ["pi0", "pi05", "smolvla"])
def test_rows_are_near_those_of_float32_and_differ(family: str) -> None:
    made = joint_actor(family).expert
    difference = measure_parity(EagerSampler(with_original_precision(made)), made).difference
    assert 1e-5 < difference < 5e-2


@pytest.mark.parametrize("family", ["pi0", "pi05"])
def test_velocity_time_and_norms_are_float32(family: str) -> None:
    expert = narrowed(family)
    seen: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Any, ...], out: Any) -> None:
            seen.setdefault(name, set()).update(x.dtype for x in (given[0], out) if isinstance(x, Tensor))

        return hook

    for name in ("action_in", "action_out", "time_in", "time_out"):
        getattr(expert, name).register_forward_hook(note(name))
    expert.decoder_layers()[0].feed_forward.register_forward_hook(note("inside"))
    torch.manual_seed(0)
    prefix, mask = torch.randn(1, *expert.subgoal_shape), torch.ones(1, expert.subgoal_shape[-2], dtype=torch.bool)
    x, state = torch.randn(1, expert.config.horizon, expert.num_actions), torch.randn(1, expert.num_states)
    with torch.inference_mode():
        velocity = expert(x, torch.tensor([0.3]), prefix, mask, state)
    assert velocity.dtype == WIDE
    assert seen == {
        **{name: {WIDE} for name in ("action_in", "action_out", "time_in", "time_out")},
        "inside": {NARROW},
    }


def test_a_norm_of_narrow_tokens_is_computed_in_float32() -> None:
    norm = RMSNorm(joint_actor("pi0").config)
    assert norm.weight is not None
    norm.weight.data.normal_()
    x = 100.0 * torch.randn(1, 3, norm.weight.shape[0], dtype=NARROW)
    found, _ = norm(x)
    exact, _ = norm(x.float())
    assert found.dtype == NARROW
    torch.testing.assert_close(found, exact.to(NARROW), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("family", ["flow", "dit"])
def test_an_actor_is_one_graph(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA graphs and `torch.compile` need: the loop traced whole, here without generating code."""
    compile_function = torch.compile

    def traced(function: Any, **options: Any) -> Any:
        assert options["fullgraph"]
        return compile_function(function, fullgraph=True, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    expert: Any = make_expert() if family == "flow" else dit()
    torch.compiler.reset()
    assert measure_parity(CompiledSampler(expert), expert).difference < 1e-5


def test_the_dit_runs_in_bfloat16_throughout() -> None:
    """GR00T's authors keep nothing wide but the count of time, which bfloat16 can't hold."""
    expert: DiTExpert = dit().bfloat16()
    told = expert.tell(torch.tensor([0.75], dtype=torch.float64)).detach()
    assert told.dtype == WIDE
    assert float(told[0, 0]) == 750.0
    seen: set[torch.dtype] = set()
    for layer in expert.modules():
        if isinstance(layer, (nn.Linear, CategoryLinear)):
            layer.register_forward_hook(lambda _, given, out: seen.update((given[0].dtype, out.dtype)))
    torch.manual_seed(0)
    features, state = torch.randn(1, *expert.subgoal_shape), torch.randn(1, expert.num_states)
    x = torch.randn(1, expert.config.horizon, expert.num_actions)
    exact = dit()
    velocities = []
    for made in (expert, exact):
        dtype = made.transformer.out.weight.dtype
        memory = made.remember(features.to(dtype), torch.ones(features.shape[:2], dtype=torch.bool))
        begun = made.begin(memory, state.to(dtype), torch.zeros(1), None)
        velocities.append(made.step(x.to(dtype), made.tell(torch.tensor([0.75])), begun).detach())
    assert seen == {NARROW}
    assert velocities[0].dtype == NARROW
    torch.testing.assert_close(velocities[0].float(), velocities[1], rtol=0.05, atol=0.05)
