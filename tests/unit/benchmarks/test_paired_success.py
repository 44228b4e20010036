"""What the paired benchmark makes of two lists of outcomes."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.paired_success import PairedSuccessConfig, compare, outcomes_of_report
from dualsys.errors import ConfigError


def test_pairs_are_counted_and_the_difference_is_second_less_first() -> None:
    first = dict(enumerate([True, True, False, False, False, True]))
    second = dict(enumerate([True, False, True, True, False, True]))
    figures = compare(first, second)
    assert figures["pairs"] == {"both": 2, "only_a": 1, "only_b": 2, "neither": 1}
    assert (figures["a"]["successes"], figures["b"]["successes"]) == (3, 4)
    assert figures["difference"] == pytest.approx(1 / 6)
    low, high = figures["difference_ci95"]
    assert low < figures["difference"] < high
    assert (figures["only_a_seeds"], figures["only_b_seeds"]) == ([1], [2, 3])
    assert figures["mcnemar_p"] == 1.0


def test_a_controller_beside_itself_differs_by_nothing() -> None:
    outcomes = {seed: seed % 3 > 0 for seed in range(200)}
    figures = compare(outcomes, outcomes)
    assert figures["difference"] == 0
    low, high = figures["difference_ci95"]
    assert low == pytest.approx(-high)
    assert high < 0.02


def test_other_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="same seeds"):
        compare({1: True}, {2: True})


def test_a_finished_evaluation_counts_where_it_was_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    asked = PairedSuccessConfig(task="humanoid/pick", a=str(path), b="x", episodes=2, seed=8000)
    timing = {"planner_hz": 5.0, "planner_latency_s": 0.12, "actor_latency_s": 0.03}
    episodes = [{"seed": 8000, "success": True}, {"seed": 8001, "success": False}]
    report: dict[str, Any] = {
        "config": {"episodes": 2, "seed": 8000, **timing},
        "tasks": [{"task": asked.task, "per_episode": episodes}],
    }
    path.write_text(json.dumps(report))
    assert outcomes_of_report(asked, path) == {8000: True, 8001: False}
    report["config"] = {"episodes": 2, "seed": 8000, **timing, "planner_latency_s": 0.5}
    path.write_text(json.dumps(report))
    with pytest.raises(ConfigError, match="planner_latency_s"):
        outcomes_of_report(asked, path)
