"""The bound is of the loop's own products, turns are fair, and the report says what was measured."""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.actor_latency import BOUND, ActorLatencyConfig, main, take_turns, verdict_of
from benchmarks.actor_products import onnx_products, products_of, torch_products
from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.config import FlowActorConfig


def _expert(**settings: Any) -> ActionExpert:
    config = FlowActorConfig(**({"horizon": 6, "width": 16, "depth": 3, "num_heads": 2} | settings))
    return ActionExpert(config, num_actions=2, num_states=3, num_subgoal_tokens=4, subgoal_dim=8)


@pytest.mark.parametrize(("solver", "evaluations"), [("euler", 4), ("heun", 8)])
def test_the_products_are_those_of_the_graph_and_their_work_is_counted(solver: str, evaluations: int) -> None:
    """`products_of` compares with the graph; the sum here is worked out on paper."""
    products = products_of(_expert(solver=solver, smoothing_window=3))
    block = 7 * 16 * (16 + 16 + 4 * 16 + 4 * 16)
    step = 6 * (2 * 16 + 16 * 2) + 3 * block + 7 * 16 * 2 * 16
    once = 3 * 16 + 16 * 16 + 17 * 16 + 16 * 16 + evaluations * 16 * 2 * 16 * 7
    assert sum(product.flop for product in products) == 2 * (once + evaluations * step)


def test_the_products_run_alone() -> None:
    products = products_of(_expert(smoothing_window=3))
    onnx_products(products, np.random.default_rng(0))()
    torch_products(products)()


def test_every_engine_has_its_turns() -> None:
    calls = {"a": 0, "b": 0}

    def called(name: str) -> None:
        calls[name] += 1

    times = take_turns({name: partial(called, name) for name in calls}, seconds=0.01, seed=0)
    assert all(times.values())
    assert {name: count > len(times[name]) for name, count in calls.items()} == {"a": True, "b": True}


@pytest.mark.parametrize(("ratio", "kept"), [(1.5, True), (1.51, False)])
def test_the_claim_is_held_to_the_engine_and_size_that_it_is_made_for(ratio: float, kept: bool) -> None:
    def size(name: str, onnx: float) -> dict[str, Any]:
        return {"size": name, "engines": {"onnx": {"times_bound": {"processor_p50": onnx, "wall_p50": 9.0}}}}

    assert verdict_of([size("humanoid-table", 3.0), size("5 M", ratio)]) == {
        "onnx within 1.5 times the bound at 5 M": kept
    }


@pytest.mark.slow
def test_the_report_has_all_engines_and_onnx_is_faster_than_eager(tmp_path: Path) -> None:
    with suppress(SystemExit):  # a tenth of a second on a busy machine claims nothing
        main(ActorLatencyConfig(seconds=0.1, json=tmp_path / "latency.json"))
    report = json.loads((tmp_path / "latency.json").read_text())
    assert list(report["verdict"]) == ["onnx within 1.5 times the bound at 5 M"]
    assert (tmp_path / "latency.png").stat().st_size > 1000
    assert [round(size["parameters"], -5) for size in report["sizes"]] == [1_700_000, 5_300_000]
    for size in report["sizes"]:
        engines = size["engines"]
        assert engines[BOUND]["times_bound"]["processor_p50"] == 1.0
        assert engines["onnx"]["processor_ms"]["p50"] < engines["eager"]["processor_ms"]["p50"]
        assert engines["onnx"]["difference"] < 1e-4
