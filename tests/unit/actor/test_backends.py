"""Every engine gives eager's rows, is refused when it does not, and says what it lacks."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.backends import TOLERANCES, build_sampler, measure_parity, require_parity
from dualsys.actor.compiled_sampler import CompiledSampler, compiling
from dualsys.actor.onnx_sampler import OnnxSampler
from dualsys.actor.sampling import EagerSampler
from dualsys.errors import ConfigError, ExtraMissing
from dualsys.messages import Observation
from tests.unit.actor.sampled_experts import VISION, make_actor, make_expert, make_inputs, subgoal

OBSERVATION = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))
# Of PyTorch itself, when its compiler is first imported.
COMPILER_WARNINGS = "ignore:.*deprecated:DeprecationWarning"


def experts(*widths: int) -> st.SearchStrategy[ActionExpert]:
    return st.builds(
        make_expert,
        seed=st.integers(0, 2**31),
        tokens=st.integers(1, 9),
        actions=st.integers(1, 5),
        horizon=st.integers(3, 12),
        depth=st.integers(1, 4),
        width=st.sampled_from(widths),
        num_heads=st.sampled_from([1, 2, 4]),
        num_inference_steps=st.integers(1, 3),
        solver=st.sampled_from(["euler", "midpoint", "heun"]),
        vision=st.sampled_from([None, VISION]),
    )


@settings(max_examples=25)
@given(experts(8, 16, 24))
def test_onnx_gives_the_rows_of_eager_whatever_the_expert(expert: ActionExpert) -> None:
    """With a subgoal, an old one, a masked one and none: `measure_parity` has them all."""
    assert measure_parity(OnnxSampler(expert), expert).difference <= 1e-4


@settings(max_examples=15)
@given(experts(48, 64))
def test_eight_bits_are_within_their_tolerance_or_refused(expert: ActionExpert) -> None:
    sampler, tolerance = OnnxSampler(expert, int8=True), TOLERANCES["onnx-int8"]
    difference = measure_parity(sampler, expert).difference
    assert difference > 0.0
    with nullcontext() if difference <= tolerance else pytest.raises(ConfigError, match="gives other rows than eager"):
        require_parity(sampler, expert, "onnx-int8", tolerance=tolerance)


def test_eight_bits_cost_little_as_a_rule() -> None:
    """An expert of random weights may cost more; of 21, most cost half of what is borne."""
    random = [make_expert(seed, width=64, num_heads=4) for seed in range(21)]
    differences = [measure_parity(OnnxSampler(expert, int8=True), expert).difference for expert in random]
    assert np.median(differences) <= 0.5 * TOLERANCES["onnx-int8"]


@settings(max_examples=25)
@given(experts(8, 16), st.data())
def test_masked_tokens_are_not_read(expert: ActionExpert, data: st.DataObject) -> None:
    tokens_KC, moment = make_inputs(expert)
    mask_K = np.array(data.draw(st.lists(st.booleans(), min_size=len(tokens_KC), max_size=len(tokens_KC))))
    wild_KC = np.where(mask_K[:, None], tokens_KC, np.float32(1e3))
    sampler = OnnxSampler(expert)
    rows, same = (sampler.sample(sampler.remember(tokens, mask_K), moment) for tokens in (tokens_KC, wild_KC))
    np.testing.assert_allclose(rows, same, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_an_actor_acts_alike_prepared_and_unprepared(backend: str) -> None:
    plain, prepared = make_actor().with_backend(backend), make_actor().with_backend(backend)
    for seed in (1, 2, 2, 1):
        prepared.prepare(subgoal(seed))
        prepared.prepare(subgoal(7))
        chunks = [actor.act(OBSERVATION, subgoal(seed)) for actor in (plain, prepared)]
        assert np.array_equal(chunks[0].rows, chunks[1].rows)
    assert not np.array_equal(plain.act(OBSERVATION, None).rows, chunks[0].rows)


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_the_same_seed_gives_the_same_bits(backend: str) -> None:
    actor = make_actor(noise="fresh").with_backend(backend)
    runs = []
    for _ in range(2):
        actor.reset(seed=5)
        runs.append([actor.act(OBSERVATION, subgoal(1)).rows for _ in range(2)])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_eight_bits_are_quantised_weights_and_full_precision_is_not() -> None:
    expert = make_expert()
    full, eight = (measure_parity(OnnxSampler(expert, int8=int8), expert).difference for int8 in (False, True))
    assert full < 1e-5 < 1e-4 < eight


@pytest.mark.parametrize(
    "name", ["blocks.0.attention.to_kv.weight", "blocks.1.feed_forward.0.weight", "age_mlp.2.bias"]
)
def test_a_sampler_of_other_weights_is_refused(name: str) -> None:
    expert = make_expert()
    sampler = OnnxSampler(expert)
    require_parity(sampler, expert, "onnx", tolerance=1e-4)
    with torch.no_grad():
        expert.get_parameter(name)[0] += 0.5
    with pytest.raises(ConfigError, match=r"'onnx' gives other rows than eager: 0\.\d+ of their size with .*eager"):
        require_parity(sampler, expert, "onnx", tolerance=1e-4)


def test_a_sampler_that_gives_no_numbers_is_refused() -> None:
    expert = make_expert()
    sampler = OnnxSampler(make_expert())
    sampler.sample = lambda memory, moment: np.full((6, 2), np.nan, np.float32)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="nan of their size"):
        require_parity(sampler, expert, "onnx", tolerance=1e-4)


def test_an_unknown_backend_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown actor backend 'onx'. Did you mean 'onnx'\?"):
        build_sampler(make_expert(), "onx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("dualsys.actor.onnx_")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraMissing, match=r"'onnx' needs ONNX Runtime; .*pip install 'dualsys\[fast\]'"):
        make_actor().with_backend("onnx")


def test_the_reference_is_itself() -> None:
    assert isinstance(build_sampler(make_expert(), "eager"), EagerSampler)
    assert measure_parity(EagerSampler(make_expert()), make_expert()).difference == 0.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(COMPILER_WARNINGS)
def test_a_compiled_actor_acts_like_eager() -> None:
    """As small as can be: compiling takes tens of seconds on a busy processor."""
    eager = make_actor(depth=1, width=8, num_inference_steps=1, smoothing_window=0)
    compiled = eager.with_backend("compiled")
    for goal in (subgoal(1), None):
        for actor in (eager, compiled):
            actor.reset(seed=2)
        rows = [actor.act(OBSERVATION, goal).rows for actor in (eager, compiled)]
        np.testing.assert_allclose(rows[1], rows[0], atol=1e-5)
    from dualsys.testing import check_actor

    check_actor(compiled)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(COMPILER_WARNINGS)
@pytest.mark.parametrize("vision", [None, VISION], ids=["blind", "seeing"])
def test_on_a_gpu_graphs_in_bfloat16_are_within_their_tolerance(vision: Any) -> None:
    expert = make_expert(width=64, vision=vision).cuda()
    sampler = build_sampler(expert, "compiled")
    assert isinstance(sampler, CompiledSampler)
    tokens_KC, moment = make_inputs(expert)
    memory = sampler.remember(tokens_KC, np.ones(len(tokens_KC), dtype=bool))
    first, again = sampler.sample(memory, moment), sampler.sample(memory, moment)
    assert np.array_equal(first, again)
    assert 0.0 < measure_parity(sampler, expert).difference <= TOLERANCES["original"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_onnx_runs_on_the_processor_for_an_expert_on_a_gpu() -> None:
    expert = make_expert().cuda()
    assert measure_parity(OnnxSampler(expert), expert).difference <= 1e-4


def test_a_damaged_cache_of_torch_is_told_with_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor.exc import InductorError

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    told = rf"could not compile this: ImportError: main.so: file too short. .* delete {tmp_path}, or give"
    with pytest.raises(ConfigError, match=told), compiling():
        raise InductorError(ImportError("main.so: file too short"), None)
