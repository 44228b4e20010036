"""Chunks from a GPU are those of the processor: eager, compiled with CUDA graphs, and guided."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dualsys.actor.backends import TOLERANCES, build_sampler, measure_parity
from dualsys.actor.compiled_sampler import CompiledSampler
from dualsys.actor.heads import HeadSampler
from dualsys.actor.sampling import EagerSampler
from dualsys.device import VARIABLE
from dualsys.messages import ActionPrefix, Guidance, Observation
from tests.gpu.device import GPU, NEEDS_GPU
from tests.unit.actor.joint_parts import joint_actor
from tests.unit.actor.sampled_experts import VISION, make_actor, make_expert, make_inputs, subgoal
from tests.unit.actor.test_compiled_heads import SHAPE, drawn, loud
from tests.unit.actor.test_heads import HEADS
from tests.unit.actor.test_packed import dit

pytestmark = NEEDS_GPU
OBSERVATION = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))
GUIDANCES: tuple[Guidance, ...] = ("identity", "jacobian", "freeze-and-ramp", "roll-forward", "trained-prefix")


@pytest.fixture(autouse=True)
def forget_compiled() -> Iterator[None]:
    """Each test compiles its own: torch refuses the ninth version of one function."""
    yield
    torch.compiler.reset()


def test_eager_gives_the_rows_of_the_processor() -> None:
    here = make_expert(width=64, vision=VISION)
    there = copy.deepcopy(here).to(GPU)
    for seed in range(3):
        tokens_KC, moment = make_inputs(here, seed)
        rows = [
            engine.sample(engine.remember(tokens_KC, np.ones(len(tokens_KC), dtype=bool)), moment)
            for engine in (EagerSampler(here), EagerSampler(there))
        ]
        np.testing.assert_allclose(rows[1], rows[0], atol=1e-4)


@pytest.mark.parametrize(("narrow", "most"), [(False, TOLERANCES["compiled"]), (True, TOLERANCES["original"])])
def test_compiled_gives_the_rows_of_eager(narrow: bool, most: float) -> None:
    expert = make_expert(width=64).to(GPU)
    assert measure_parity(CompiledSampler(expert, narrow=narrow), expert).difference <= most


def test_replayed_graphs_read_each_call_s_subgoal_and_moment() -> None:
    """A graph reads fixed addresses: it must be given what changed, and must not write over what it returned before."""
    expert = make_expert(width=64).to(GPU)
    compiled, eager = CompiledSampler(expert), EagerSampler(expert)
    kept = []
    memories = {}
    for seed in (0, 1, 2, 0, 2, 1, 1, 0):
        tokens_KC, moment = make_inputs(expert, seed)
        whole = np.ones(len(tokens_KC), dtype=bool)
        if seed not in memories:
            memories[seed] = compiled.remember(tokens_KC, whole)
        found = compiled.sample(memories[seed], moment)
        expected = eager.sample(eager.remember(tokens_KC, whole), moment)
        kept.append((seed, found, found.copy()))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for seed, found, as_it_was in kept:
        assert np.array_equal(found, as_it_was)
        if seed == 1:
            np.testing.assert_allclose(found, kept[1][1], atol=1e-6)


def test_a_compiled_actor_swaps_subgoals_and_loses_them() -> None:
    expert_on_gpu = make_actor(width=64, smoothing_window=0)
    compiled = expert_on_gpu.with_backend("compiled")
    for goal in (subgoal(1), subgoal(2), None, subgoal(1), subgoal(2)):
        for actor in (expert_on_gpu, compiled):
            actor.reset(seed=3)
        eager_rows, rows = (actor.act(OBSERVATION, goal).rows for actor in (expert_on_gpu, compiled))
        difference = np.sqrt(np.mean((rows - eager_rows) ** 2) / np.mean(eager_rows**2))
        assert difference <= TOLERANCES["original"]


@pytest.mark.parametrize("precision", ["float32", "original"])
@pytest.mark.parametrize("family", ["dit", "pi0", "pi05", "smolvla"])
def test_every_flow_expert_is_compiled(family: str, precision: str) -> None:
    expert = (dit() if family == "dit" else joint_actor(family).expert).to(GPU)
    assert isinstance(build_sampler(expert, "compiled", precision), CompiledSampler)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_compiled(name: str) -> None:
    """Checked when it is built; the same chunk twice, and another between them, show what a graph keeps."""
    head = loud(name).to(GPU)
    sampler, eager = build_sampler(head, "compiled", subgoal_shape=SHAPE), HeadSampler(head)
    rows = [drawn(sampler, seed, [True, False, True]) for seed in (1, 2, 1)]
    assert np.array_equal(rows[0], rows[2])
    if name not in ("bins", "fast"):  # rounding may decide between words that are as likely
        np.testing.assert_allclose(rows[0], drawn(eager, 1, [True, False, True]), atol=5e-2)


def test_a_graph_is_replayed_by_another_thread_than_the_one_that_recorded_it() -> None:
    expert = make_expert(width=64).to(GPU)
    sampler = build_sampler(expert, "compiled")
    tokens_KC, moment = make_inputs(expert)
    memory = sampler.remember(tokens_KC, np.ones(len(tokens_KC), dtype=bool))
    here = sampler.sample(memory, moment)
    with ThreadPoolExecutor(1) as pool:
        assert np.array_equal(pool.submit(sampler.sample, memory, moment).result(), here)


def test_a_backend_by_name_is_checked_on_a_gpu() -> None:
    sampler = build_sampler(make_expert(width=64, vision=VISION).to(GPU), "compiled")
    assert isinstance(sampler, CompiledSampler)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_guided_chunks_are_those_of_the_processor(guidance: Guidance, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = ActionPrefix(rows=np.linspace(-0.5, 0.5, 8).reshape(4, 2), inference_delay=2, guidance=guidance)
    rows = []
    for device in ("cpu", str(GPU)):
        monkeypatch.setenv(VARIABLE, device)
        actor = make_actor(width=64, max_prefix=3)
        actor.reset(seed=5)
        rows.append(actor.act(OBSERVATION, subgoal(4), prefix).rows)
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-4)
