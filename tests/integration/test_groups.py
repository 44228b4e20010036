"""A robot whose arms, hand and base have rates of their own, on the wall clock: each is commanded at its own."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from dualsys.bridge.processes import run_processes
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.threads import run_threads
from dualsys.settings import CoreConfig
from dualsys.telemetry import read_log
from dualsys.testing import mobile_embodiment
from dualsys.testing.limits import check_limits
from tests.integration import bridge_parts, bridge_system

ROOT = Path(__file__).parents[2]
HZ = 200.0


def system(folder: Path) -> SystemConfig:
    return bridge_system.reach_system(
        environment=bridge_system.part("mobile", control_hz=HZ),
        actor=bridge_system.part("mobile_actor"),
        embodiment=mobile_embodiment(),
        core=CoreConfig(actor_hz=5.0, first_subgoal_wait_s=0.0),
        control_hz=HZ,
        seconds=3.0,
        log_folder=folder,
    )


@pytest.mark.parametrize("mode", ["threads", "processes"])
def test_every_group_is_commanded_at_its_own_rate(
    mode: Literal["threads", "processes"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    config = system(tmp_path)
    if mode == "threads":
        report = run_threads(config, bridge_parts.planner(), bridge_parts.mobile_actor(), on_progress=lambda _: None)
    else:
        run_id = f"groups-{os.getpid()}"
        report = run_processes(config, run_id=run_id, launcher="subprocess", on_progress=lambda _: None)
    assert report.report["actor"]["count"] >= 3
    chunks = {line["sequence"]: line for line in read_log(tmp_path / "actor.1.jsonl") if line["kind"] == "chunk"}
    lines = read_log(tmp_path / "commands.jsonl")
    assert [line["scheduler"] for line in lines if line["kind"] == "realtime"] == [
        report.report["realtime"]["scheduler"]
    ]
    commands = [line for line in lines if line["kind"] == "command"]
    assert check_limits(lines, config.embodiment, 1 / HZ).outside == 0
    played = [line for line in commands if line["source"] == "actor" and line["chunk_sequence"] in chunks]
    assert len(played) > 20
    # By then each joint has come from the start pose to its motion.
    for line in (line for line in played if line["stamp_s"] > played[0]["stamp_s"] + 1.0):
        _hold_to_its_rows(line, np.array(chunks[line["chunk_sequence"]]["rows"]))


def _hold_to_its_rows(command: dict[str, Any], rows: Any) -> None:
    """The gate may lag by what a limit allows; the chunk's curve is within that."""
    row, target = command["row"], np.array(command["target"])
    place = int(row)
    around = rows[max(place - 6, 0) : place + 7]
    slack = 0.05
    assert np.all(target[:3] >= around[:, :3].min(axis=0) - slack)
    assert np.all(target[:3] <= around[:, :3].max(axis=0) + slack)
    base = rows[place // 5 * 5, 3:]
    before = rows[max(place // 5 * 5 - 5, 0), 3:]
    assert np.all(target[3:] >= np.minimum(base, before) - slack)
    assert np.all(target[3:] <= np.maximum(base, before) + slack)
