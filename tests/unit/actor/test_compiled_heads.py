"""The engine `compiled` of heads other than flow matching: eager's rows, one graph a step, refused when it isn't so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.backends import TOLERANCES, build_sampler, measure_parity, require_parity
from dualsys.actor.compiled_heads import CompiledHeadSampler
from dualsys.actor.heads import HeadSampler
from dualsys.actor.sampling import Array, Moment, Sampler
from dualsys.errors import ConfigError
from tests.unit.actor.test_heads import ARM, EVERY, SPEC, make

SHAPE = (SPEC.num_tokens, SPEC.dim)
# Of PyTorch itself, when its compiler is first imported.
COMPILER_WARNINGS = "ignore:.*deprecated:DeprecationWarning"


def loud(name: str) -> Any:
    """A head in which nothing is zero that would hide a difference."""
    head = make(name).expert
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return head


def moment(seed: int) -> tuple[Array, Moment]:
    """Tokens of a subgoal, and a moment."""
    rng = np.random.default_rng(seed)
    tokens, noise, state = (rng.standard_normal(size).astype(np.float32) for size in (SHAPE, (6, 2), ARM.num_states))
    return tokens, Moment(noise, state, 0.3)


def drawn(sampler: Sampler, seed: int, mask: list[bool]) -> Array:
    tokens, now = moment(seed)
    return sampler.sample(sampler.remember(tokens, np.array(mask)), now)


class Counting:
    """A compiler that counts graphs, and leaves them as they are."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


@EVERY
def test_rows_are_eagers_and_no_chunk_is_traced_anew(name: str) -> None:
    """Each of `begin` and `step`, or the whole, or a word, is traced once, whatever the subgoal."""
    torch.compiler.reset()
    head, counting = loud(name), Counting()
    compiled, eager = CompiledHeadSampler(head, compiler=counting), HeadSampler(head)
    for seed, mask in enumerate(([True] * 3, [True, False, True], [False] * 3, [True] * 3)):
        rows = drawn(compiled, seed, mask)
        np.testing.assert_allclose(rows, drawn(eager, seed, mask), rtol=0.0, atol=1e-5)
        assert np.abs(rows).max() > 0.1
    assert counting.graphs == (2 if name.startswith(("diffusion", "unet")) else 1)
    assert measure_parity(compiled, head, SHAPE).difference < 1e-5


@pytest.mark.parametrize("name", ["bins", "act", "unet"])
def test_a_sampler_of_other_weights_is_refused(name: str) -> None:
    torch.compiler.reset()
    head, other = loud(name), loud(name)
    sampler = CompiledHeadSampler(other, compiler="eager")
    require_parity(sampler, head, "compiled", tolerance=1e-4, subgoal_shape=SHAPE)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.01)
    sampler.head = head
    with pytest.raises(ConfigError, match=r"'compiled' gives other rows than eager: .*; if the weights"):
        require_parity(sampler, head, "compiled", tolerance=1e-4, subgoal_shape=SHAPE)


def test_words_end_where_eager_ends_them() -> None:
    """`fast` stops at the word of the end, and what was said before in longer arrays is not read."""
    torch.compiler.reset()
    head = loud("fast")
    sampler = CompiledHeadSampler(head, compiler="eager")
    counts = []
    for bias in (-50.0, 50.0, -50.0):
        with torch.no_grad():
            head.words_out.bias[0] = bias
        tokens, now = moment(0)
        memory = sampler.remember(tokens, np.ones(3, dtype=bool))
        pair = sampler.compared(memory, now)
        assert pair is not None
        np.testing.assert_allclose(*pair, rtol=0.0, atol=1e-4)
        counts.append(pair[0].shape[1])
    assert counts == [head.words.most, 1, head.words.most]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(COMPILER_WARNINGS)
def test_code_that_was_generated_gives_the_rows_of_eager() -> None:
    """The one head that is generated here: compiling takes tens of seconds on a busy processor."""
    torch.compiler.reset()
    head = loud("regression")
    sampler = build_sampler(head, "compiled", subgoal_shape=SHAPE)
    assert isinstance(sampler, CompiledHeadSampler)
    assert measure_parity(sampler, head, SHAPE).difference <= TOLERANCES["compiled"]
