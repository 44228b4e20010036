"""What the paired benchmark makes of two lists of outcomes."""

import json
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.paired_success import PairedSuccessConfig, compare, identified, outcomes_of_report, result_table
from dualsys.app.evaluation.config import EvalConfig
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError
from dualsys.settings import SafetyConfig


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


def test_an_evaluation_counts_whichever_its_controller_and_only_as_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    asked = PairedSuccessConfig(task="humanoid/pick", a=str(path), b="x", episodes=1, seed=8000)
    usual = EvalConfig(suite_or_task="humanoid", episodes=1, seed=8000)
    task = {"task": asked.task, "per_episode": [{"seed": 8000, "success": True}]}

    def write(**options: Any) -> None:
        config = json.loads(json.dumps(asdict(replace(usual, **options))))
        path.write_text(json.dumps({"config": config, "tasks": [task]}))

    write(checkpoint="elsewhere/mine", planner="null", workers=16, videos=0)
    assert outcomes_of_report(asked, path) == {8000: True}
    for options in ({"phrasing": "held-out"}, {"randomization": "wide"}, {"control_hz": 100.0}):
        write(**options)
        (name,) = options
        with pytest.raises(ConfigError, match=f"was evaluated with {name} .* pairs need the same"):
            outcomes_of_report(asked, path)
    write(safety=SafetyConfig(enabled=False))
    with pytest.raises(ConfigError, match="'enabled': False"):
        outcomes_of_report(asked, path)
    write()
    report = json.loads(path.read_text())
    del report["config"]["safety"]["handover_s"], report["config"]["core"]["subgoal"]["fresh_s"]
    path.write_text(json.dumps(report))  # as from before those options were there
    assert outcomes_of_report(asked, path) == {8000: True}
    with pytest.raises(ConfigError, match="is of humanoid/pick, asked is humanoid/touch"):
        outcomes_of_report(replace(asked, task="humanoid/touch"), path)


def test_controllers_are_told_apart_by_their_weights_and_old_reports_do_not_tell(tmp_path: Path) -> None:
    digest = Checkpoint.open("humanoid-table").weights_digest()
    shipped = {"checkpoint": "humanoid-table", "planner": "", "actor": "", "weights": digest}
    assert identified("humanoid-table") == shipped
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    of = {"checkpoint": "elsewhere/mine", "planner": "null", "actor": ""}
    new.write_text(json.dumps({"config": of, "controller_weights": "0123456789abcdef"}))
    old.write_text(json.dumps({"config": {"checkpoint": "elsewhere/mine"}}))
    theirs = {"checkpoint": "mine", "planner": "null", "actor": "", "weights": "0123456789abcdef"}
    assert identified(str(new)) == theirs
    assert identified(str(old)) == theirs | {"planner": "", "weights": None}
    config = PairedSuccessConfig(task="humanoid/pick", a=str(old), b=str(new), episodes=1, seed=8000)
    console = Console(record=True, width=120, file=StringIO())
    controllers = {"a": identified(str(old)), "b": identified(str(new))}
    console.print(result_table(config, controllers, compare({8000: False}, {8000: True})))
    rows = [line.split("│")[1:3] for line in console.export_text().splitlines() if ".json" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["A old.json", "not told"],
        ["B new.json", "0123456789abcdef"],
    ]
