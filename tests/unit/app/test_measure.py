"""What a run's log tells of delays, against logs whose delays are known; and a real run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.app import cli
from dualsys.app.evaluation.traces import traces_of
from dualsys.app.measure import MeasureConfig, measured_log
from dualsys.app.measured_log import SERIES, series_of
from dualsys.delays import distribution_of, draws
from dualsys.errors import ConfigError
from dualsys.settings import TimingConfig

PERIOD_S = 0.002
LATE_S = [0.0003, 0.0001, 0.0011, 0.0002, 0.0001, 0.0004]


def lines(**header: Any) -> list[dict[str, Any]]:
    """Two episodes of three ticks, a plan that warms up and one that counts, frames of a tenth of a second."""
    grid = [10.0 + index * PERIOD_S for index in range(3)] + [12.0005 + index * PERIOD_S for index in range(3)]
    commands = [
        {"kind": "command", "stamp_s": at + late, "chunk_sequence": max(0, index - 1)}
        for index, (at, late) in enumerate(zip(grid, LATE_S, strict=True))
    ]
    return [
        {
            "kind": "header",
            "config": {"control_hz": 500.0, "mode": "processes", **header},
            "versions": {"python": "3"},
            "machine": {"processor": "slow"},
        },
        {"kind": "subgoal", "observation_stamp_s": 8.0, "began_stamp_s": 8.1, "emitted_stamp_s": 9.5},
        {"kind": "episode", "stamp_s": 10.0},
        {"kind": "subgoal", "observation_stamp_s": 10.0, "began_stamp_s": 10.05, "emitted_stamp_s": 10.15},
        {"kind": "chunk", "sequence": 0, "start_stamp_s": 9.98, "began_stamp_s": 9.981, "ready_stamp_s": 9.999},
        {"kind": "chunk", "sequence": 7, "start_stamp_s": 10.5, "began_stamp_s": 10.51, "ready_stamp_s": 10.54},
        {"kind": "episode", "stamp_s": 12.0},
        *({"kind": "frame", "stamp_s": at, "ready_stamp_s": at + 0.02} for at in (10.0, 10.1, 12.0, 12.125)),
        *commands,
        {"kind": "end"},
    ]


def test_delays_are_those_of_the_log() -> None:
    found = series_of(lines())
    assert found["planner_latency_s"] == pytest.approx([0.1]), "not the one from before the first episode"
    assert found["subgoal_age_s"] == pytest.approx([0.15])
    assert found["actor_latency_s"] == pytest.approx([0.018, 0.03])
    assert found["chunk_turnaround_s"] == pytest.approx([10.0003 - 9.98]), "the other was never played"
    assert found["camera_delay_s"] == pytest.approx([0.02] * 4)
    assert found["camera_interval_s"] == pytest.approx([0.1, 0.125]), "not across the episodes"
    assert found["tick_interval_s"] == pytest.approx([0.0018, 0.003, 0.0019, 0.0023])
    assert found["tick_lateness_s"] == pytest.approx([0.0002, 0.0, 0.001, 0.0001, 0.0, 0.0003], abs=1e-9)
    assert found.keys() == SERIES.keys()


def test_a_log_without_beginnings_tells_ages_alone() -> None:
    old = [{key: value for key, value in line.items() if key != "began_stamp_s"} for line in lines()]
    found = series_of(old)
    assert not {"planner_latency_s", "actor_latency_s"} & found.keys()
    assert found["subgoal_age_s"] == pytest.approx([0.15])


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in content))
    return path


def test_the_trace_is_what_an_evaluation_draws_from(tmp_path: Path) -> None:
    log, out = write(tmp_path / "run.jsonl", lines()), tmp_path / "delays.json"
    assert cli.main(["measure", "--from-log", str(log), "--out", str(out)]) == 0
    trace = f"trace:{out}"
    timing = TimingConfig(planner_latency_s=trace, actor_latency_s=trace, actuation_delay_s=f"{trace}#tick_lateness_s")
    drawn = distribution_of(timing.actor_latency_s, series="actor_latency_s").values(draws(0, "actor_latency_s"))
    assert {round(next(drawn), 6) for _ in range(50)} == {0.018, 0.03}
    traces = traces_of(timing)
    assert {option: trace["samples"] for option, trace in traces.items()} == {
        "planner_latency_s": 1, "actor_latency_s": 2, "actuation_delay_s": 6,
    }  # fmt: skip
    assert len({trace["digest"] for trace in traces.values()}) == 3
    written = json.loads(out.read_text())
    assert written["source"] == {"mode": "processes", "control_hz": 500.0}
    assert written["versions"] == {"python": "3"}
    assert written["machine"] == {"processor": "slow"}


def test_a_log_without_its_machine_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = lines()
    del old[0]["machine"]
    log, out = write(tmp_path / "run.jsonl", old), tmp_path / "delays.json"
    assert cli.main(["measure", "--from-log", str(log), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["machine"] == {}
    assert f"on which machine isn't known: {log} doesn't say" in capsys.readouterr().out


def test_what_tells_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="virtual clock"):
        measured_log(write(tmp_path / "inline.jsonl", lines(mode="inline")))
    with pytest.raises(ConfigError, match="no subgoal and no chunk"):
        measured_log(write(tmp_path / "empty.jsonl", lines()[:1]))
    with pytest.raises(ConfigError, match="cannot be read"):
        measured_log(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="one of the two"):
        MeasureConfig()
    with pytest.raises(ConfigError, match="one of the two"):
        MeasureConfig(task="humanoid/touch", from_log=tmp_path / "run.jsonl")


@pytest.mark.slow
def test_a_real_run_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "delays.json"
    options = ["--mode", "threads", "--seconds", "4", "--control-hz", "100", "--out", str(out)]
    assert cli.main(["measure", "humanoid/touch", *options]) == 0
    written = json.loads(out.read_text())
    assert written["samples"].keys() == SERIES.keys()
    assert all(0.0 <= value < 60.0 for values in written["samples"].values() for value in values)
    assert np.median(written["samples"]["tick_interval_s"]) == pytest.approx(0.01, rel=0.5)
    assert written["machine"]["cores"] >= 1
