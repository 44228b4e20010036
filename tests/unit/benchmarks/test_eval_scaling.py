"""The benchmark of more workers: every way is timed and compared with one worker of its launcher."""

import json
from pathlib import Path

import pytest

from benchmarks.eval_scaling import EvalScalingConfig, add_ratios, main


def test_rates_are_beside_one_worker_s_of_the_same_launcher() -> None:
    rates = [("subprocess", 1, 10.0), ("subprocess", 2, 19.0), ("ray", 2, 15.0)]
    rows = [{"launcher": who, "workers": count, "episodes_a_minute": rate} for who, count, rate in rates]
    add_ratios(rows)
    assert [row["times_one"] for row in rows] == [1.0, 1.9, None]


@pytest.mark.slow
def test_what_is_timed_gives_one_result(tmp_path: Path) -> None:
    file = tmp_path / "scaling.json"
    main(EvalScalingConfig(planner="null", actor="hold", episodes=3, launchers=("subprocess",), json=file))
    report = json.loads(file.read_text())
    assert [(row["launcher"], row["workers"]) for row in report["ways"]] == [("subprocess", 1), ("subprocess", 2)]
    assert all(row["episodes_a_minute"] > row["episodes_a_minute_with_start"] / 3 > 0 for row in report["ways"])
    assert report["verdict"] == {"all results are the same": True}
