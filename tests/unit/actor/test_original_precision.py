"""What authors keep in float32 when the rest is bfloat16; and a step of each expert traced into one graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualsys.actor.backends import TOLERANCES, build_sampler, measure_parity
from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.compiled_sampler import CompiledSampler
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.joint_expert import JointExpert
from dualsys.actor.joint_layers import RMSNorm
from dualsys.actor.original_precision import with_original_precision
from dualsys.actor.sampling import EagerSampler
from dualsys.errors import ConfigError
from dualsys.messages import ActionPrefix, Observation
from tests.unit.actor.joint_parts import FAMILIES, joint_actor
from tests.unit.actor.sampled_experts import make_actor, make_expert, subgoal
from tests.unit.actor.test_packed import dit, drawn

NARROW, WIDE = torch.bfloat16, torch.float32


def narrowed(family: str) -> JointExpert:
    made: JointExpert = with_original_precision(joint_actor(family).expert)
    return made


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


def small(family: str, **changes: Any) -> Any:
    """One expert of each kind, as shallow as shows everything."""
    if family == "flow":
        return make_expert(depth=2, **changes)
    return dit(depth=2, **changes) if family == "dit" else joint_actor(family, depth=2, **changes).expert


class Noting:
    """A compiler that counts the nodes of what it is given, and leaves it as it is."""

    def __init__(self) -> None:
        self.nodes = 0

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.nodes += len(graph.graph.nodes)
        return graph.forward


@pytest.mark.slow
@pytest.mark.parametrize("family", ["flow", "dit", "pi0", "pi05", "smolvla"])
def test_a_step_is_one_graph_however_many_there_are(family: str) -> None:
    """What `torch.compile` and CUDA graphs need, traced without generating code."""
    nodes = []
    for steps in (1, 7):
        expert, noting = small(family, num_inference_steps=steps), Noting()
        torch.compiler.reset()
        sampler = CompiledSampler(expert, compiler=noting)
        made = drawn(sampler, expert)
        np.testing.assert_allclose(made, drawn(EagerSampler(expert), expert), rtol=0.0, atol=1e-5)
        nodes.append(noting.nodes)
    assert nodes[0] == nodes[1] > 0


@pytest.mark.parametrize("family", ["flow", "dit", "pi0"])
def test_compiled_narrow_rows_are_those_of_the_narrow_copy(family: str) -> None:
    """No autocast: what is float32 in the copy stays so, and rows have more digits than bfloat16."""
    expert = small(family)
    torch.compiler.reset()
    rows = drawn(CompiledSampler(expert, narrow=True, compiler="eager"), expert)
    np.testing.assert_allclose(rows, drawn(EagerSampler(with_original_precision(expert)), expert), rtol=0.0, atol=1e-6)
    assert not np.array_equal(rows, torch.from_numpy(rows).to(NARROW).float().numpy())


@pytest.mark.parametrize("family", ["flow", "dit", "smolvla"])
def test_an_actor_takes_the_precision_by_name(family: str) -> None:
    expert = small(family)
    sampler = build_sampler(expert, "eager", "original")
    assert 0.0 < measure_parity(sampler, expert).difference <= TOLERANCES["original"]
    assert measure_parity(build_sampler(expert, "eager"), expert).difference == 0.0
    with pytest.raises(ConfigError, match="'packed' has no precision 'original'; eager and compiled do"):
        build_sampler(expert, "packed", "original")
    with pytest.raises(ConfigError, match=r"unknown actor precision 'orignal'. Did you mean 'original'\?"):
        build_sampler(expert, "eager", "orignal")


def test_guided_chunks_are_float32_whatever_the_precision() -> None:
    actor = make_actor(noise="held")
    observation = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))
    prefix = ActionPrefix(rows=np.zeros((3, 2)), inference_delay=1, guidance="identity")
    both = [actor, actor.with_backend("eager", "original")]
    plain = [each.act(observation, subgoal(0)).rows for each in both]
    assert not np.array_equal(plain[0], plain[1])
    guided = [each.act(observation, subgoal(0), prefix).rows for each in both]
    np.testing.assert_array_equal(guided[1], guided[0])


def test_our_own_expert_is_narrow_inside_its_blocks_alone() -> None:
    expert = with_original_precision(make_expert())
    narrow = {name for name, weight in expert.named_parameters() if weight.dtype == NARROW}
    assert narrow == {
        name for name, _ in expert.named_parameters() if ".attention." in name or ".feed_forward." in name
    }
    seen: set[torch.dtype] = set()
    for part in (expert.action_in, expert.state_in, expert.norm_out, expert.action_out):
        part.register_forward_hook(lambda _, given, out: seen.update((given[0].dtype, out.dtype)))
    drawn(EagerSampler(expert), expert)
    assert seen == {WIDE}


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
