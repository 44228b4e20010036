"""An attempt that fails, with real processes: the tick tells planner and actor, and goes on."""

import os
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.processes import run_processes
from dualsys.settings import CoreConfig, RecoveryConfig
from dualsys.telemetry import read_log
from dualsys.testing import fake_embodiment
from dualsys.testing.limits import check_limits
from tests.integration import bridge_system

ROOT = Path(__file__).parents[2]


def test_a_run_in_processes_recovers_is_counted_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    recovery = RecoveryConfig(enabled=True, still_s=0.4, max_recoveries=2)
    config = bridge_system.reach_system(
        environment=bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0),
        control_hz=100.0,
        seconds=12.0,
        core=CoreConfig(recovery=recovery),
        log_folder=tmp_path,
    )
    report: dict[str, Any] = run_processes(
        config, run_id=f"recovery-{os.getpid()}", launcher="subprocess", on_progress=lambda _: None
    ).report
    counters = report["counters"]
    assert (counters["recoveries"], counters["recoveries_given_up"], counters["starts"]) == (2, 1, 1)
    assert counters["recovering_ticks"] > 0
    assert counters["subgoals"] > 3
    lines = read_log(tmp_path / "commands.jsonl")
    assert [line["reaction"] for line in lines if line["kind"] == "retry"] == ["resample", "home", "give_up"]
    commands = [line for line in lines if line["kind"] == "command"]
    assert check_limits(lines, fake_embodiment(), 1 / config.control_hz).outside == 0
    # What the models did afterwards was made from what they saw afterwards.
    begun = [line["stamp_s"] for line in lines if line["kind"] == "retry"][:2]
    for since_s, until_s in zip(begun, [*begun[1:], float("inf")], strict=True):
        played = [each for each in commands if each["source"] == "actor" and since_s < each["stamp_s"] < until_s]
        assert played
        assert all(each["stamp_s"] - each["chunk_age_s"] >= since_s - 1e-6 for each in played)
