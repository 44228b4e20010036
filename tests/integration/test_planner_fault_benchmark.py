"""The benchmark of planner faults, reduced: five kills and two hangs of a point mass's planner, real signals all."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.fault_session import recovery, run_session
from benchmarks.planner_faults import PlannerFaultsConfig, draw, main, plan, result, result_table
from dualsys.settings import PlannerLifeConfig
from tests.integration import bridge_system

ROOT = Path(__file__).parents[2]
CONFIG = PlannerFaultsConfig(kills=5, hangs=2, seconds=2.0, hangs_after_s=1.0, launcher="subprocess")


@pytest.mark.slow
def test_the_arm_notices_neither_kills_nor_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sessions = []
    for number, (standbys, kinds) in enumerate(plan(CONFIG)):
        system = bridge_system.reach_system(
            environment=bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0),
            control_hz=100.0,
            planner_standbys=standbys,
            planner_life=PlannerLifeConfig(hangs_after_s=CONFIG.hangs_after_s, healthy_s=CONFIG.seconds / 2),
            log_folder=tmp_path / str(number),
        )
        sessions.append(run_session(system, launcher="subprocess", kinds=kinds, window_s=CONFIG.seconds))
    figures = result(CONFIG, sessions)
    with (tmp_path / "table").open("w") as file:
        Console(file=file, width=200).print(result_table(figures))
    draw(figures, tmp_path / "plot.png")
    assert figures["all"]["count"] == figures["all"]["recovered"] == 7
    assert figures["commands_outside_limits"] == 0
    assert figures["commands"] > 0
    assert sum(session["life"]["restarts"] for session in figures["sessions"]) == 7
    assert sum(session["life"]["hangs"] for session in figures["sessions"]) == 2
    assert figures["verdict"]["misses_after_at_most_before_plus_2"]
    groups: dict[str, Any] = figures["groups"]
    # A start, or a loaded planner's turn: the ratio is what a standby is for.
    assert groups["kill, 1 standby"]["recovery_p50_s"] < 0.5 * groups["kill, no standbys"]["recovery_p50_s"]
    # The newest sign of life is up to a planner's period older than the hang.
    assert groups["hang, 1 standby"]["recovery_p50_s"] > 0.5 * CONFIG.hangs_after_s
    assert (tmp_path / "plot.png").stat().st_size > 0
    assert "kill, 1 standby" in (tmp_path / "table").read_text()
    assert not bridge_system.processes_of(f"faults-{os.getpid()}")
    check_gone_on_with(sessions, tmp_path / "faults.json")


def check_gone_on_with(sessions: list[dict[str, Any]], target: Path) -> None:
    """A benchmark that was broken off after its last run has nothing left to do but to sum up."""
    runs = target.with_suffix(".runs.jsonl")
    runs.write_text("".join(f"{json.dumps(session)}\n" for session in sessions))
    with suppress(SystemExit):  # how long a planner takes to be back is the machine's
        main(replace(CONFIG, resume=True, json=target))
    told = json.loads(target.read_text())
    for name in ("sessions", "all", "groups"):
        assert told[name] == json.loads(json.dumps(result(CONFIG, sessions)[name]))
    assert not runs.exists()


def test_the_runs_hold_all_faults_and_take_turns() -> None:
    runs = plan(PlannerFaultsConfig())
    kinds = [kind for _, run in runs for kind in run]
    assert (kinds.count("kill"), kinds.count("hang")) == (100, 20)
    assert [standbys for standbys, _ in runs] == [0, 1] * 10
    assert all("hang" in run for _, run in runs)
    assert {standbys for standbys, _ in plan(PlannerFaultsConfig(standbys=0))} == {0}


def test_recovery_counts_to_the_first_subgoal_of_a_newer_planner() -> None:
    subgoals = [(1.0, 1), (2.0, 1), (2.1, 1), (5.5, 2), (6.0, 2)]
    assert recovery(subgoals, 2.05) == pytest.approx(3.45)
    assert recovery(subgoals, 5.6) is None
