"""`fleet`: its figures on readings that are known, and a reduced run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fleet import BATCHED, ONE_BY_ONE, figures_of

ROOT = Path(__file__).resolve().parents[3]


def test_figures_are_of_all_blocks_and_of_each_robot() -> None:
    block = {
        "seconds": 2.0,
        "ages_s": [[0.1, 0.2, 0.3], [0.4]],
        "subgoals": [10, 4],
        "failures": 1,
        "batches": 7,
        "observations": 14,
        "processor_s": 0.28,
    }
    empty = {**block, "ages_s": [[], []], "subgoals": [0, 0], "batches": 0, "observations": 0, "failures": 0}
    figures = figures_of([block, {**block, "ages_s": [[0.2], [0.6]]}])
    assert figures["age_s"]["p50"] == pytest.approx(0.25)
    assert figures["worst_robot_p99_s"] == pytest.approx(0.598)
    assert [robot["p50"] for robot in figures["each_robot"]] == pytest.approx([0.2, 0.5])
    assert (figures["subgoals_per_s"], figures["fewest_hz"], figures["most_hz"]) == (7.0, 2.0, 5.0)
    assert (figures["batch"], figures["failures"]) == (2.0, 2)
    assert figures["processor_ms_per_subgoal"] == pytest.approx(20.0)
    nothing = figures_of([empty])
    assert nothing["age_s"]["p50"] is nothing["worst_robot_p99_s"] is None


@pytest.mark.slow
def test_a_reduced_run_serves_every_robot_both_ways(tmp_path: Path) -> None:
    target = tmp_path / "fleet.json"
    options = ["--robots", "2", "--seconds", "4", "--blocks", "1", "--planner-hz", "3", "--json", str(target)]
    command = [sys.executable, "-m", "benchmarks.fleet", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(target.read_text())["rows"]
    assert [(row["robots"], row["way"]) for row in rows] == [(2, BATCHED), (2, ONE_BY_ONE)]
    for row in rows:
        assert row["failures"] == 0
        assert all(robot["hz"] > 0.5 and robot["p50"] < 5 for robot in row["each_robot"])
    assert all(row["batch"] == 1 for row in rows if row["way"] == ONE_BY_ONE)
    assert target.with_suffix(".png").stat().st_size > 5000
