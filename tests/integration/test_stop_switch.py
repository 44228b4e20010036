"""An emergency stop in a run on the wall clock: pressed by somebody, reset by somebody, and the tape knows."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.boxes import LocalBoxes
from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.stop_switch import StopSwitch
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import read_parts
from dualsys.bridge.tape_reel import TapeReel
from dualsys.bridge.threads import run_threads
from dualsys.replay import replay
from dualsys.telemetry import read_log
from dualsys.testing.limits import check_limits
from tests.integration import bridge_parts, bridge_system

ROOT = Path(__file__).parents[2]
PERSON = """
import sys, time
from dualsys.app import cli

assert cli.main(["stop", sys.argv[1], "--reason", "somebody walked in"]) == 0
time.sleep(0.5)
assert cli.main(["reset", sys.argv[1]]) == 0
"""


def system(folder: Path) -> SystemConfig:
    endless = bridge_system.part("reach", pose=2.0, max_steps=1_000_000)
    return bridge_system.reach_system(
        environment=endless, seconds=5.0, folder=folder, log_folder=folder, tape_bytes=4 * 2**20
    )


def require_a_stop(folder: Path, config: SystemConfig, report: dict[str, Any], reel: TapeReel) -> None:
    """The policy, a stop that comes to rest, the policy again; all of it within the limits and decided again."""
    lines = read_log(folder / "commands.jsonl")
    commands = [line for line in lines if line["kind"] == "command"]
    assert check_limits(lines, config.embodiment, 1 / config.control_hz).outside == 0
    assert [line["reason"] for line in lines if line["kind"] == "stop"] == ["somebody walked in"]
    assert [line["moved"] for line in lines if line["kind"] == "stop_reset"] == [False]
    sources = [command["source"] for command in commands]
    stopped = [index for index, source in enumerate(sources) if source == "stop"]
    assert set(sources[stopped[0] : stopped[-1] + 1]) == {"stop"}
    assert "actor" in sources[: stopped[0]]
    assert "actor" in sources[stopped[-1] :]
    assert np.ptp([commands[index]["target"] for index in stopped[-20:]], axis=0).max() == 0
    assert (report["counters"]["stops"], report["counters"]["stop_resets"]) == (1, 1)
    again = replay(*read_parts(reel.files))
    assert again.identical, again.first_difference
    assert again.commands == len(commands)


def test_in_threads(tmp_path: Path) -> None:
    config, boxes = system(tmp_path), LocalBoxes()
    reel = TapeReel(tmp_path / "run.mcap", config.tape_head(), part_bytes=2**26)
    switch, pressed, reset = StopSwitch(boxes), threading.Event(), threading.Timer(1.0, StopSwitch(boxes).reset)

    def look(progress: Progress) -> None:
        if progress.statuses.get("tick", {}).get("chunks", 0) >= 3 and not pressed.is_set():
            pressed.set()
            switch.stop("somebody walked in")
            reset.start()

    with TapeDeck(config.tape_head(), record=reel, flights=None) as deck:
        result = run_threads(
            config, bridge_parts.planner(), bridge_parts.reaching_actor(), on_progress=look, boxes=boxes, deck=deck
        )
    reset.join()
    require_a_stop(tmp_path, config, result.report, reel)


def test_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    config, run_id = system(tmp_path), f"stops-{os.getpid()}"
    reel = TapeReel(tmp_path / "run.mcap", config.tape_head(), part_bytes=2**26)
    people: list[subprocess.Popen[bytes]] = []
    seen: list[bool] = []

    def look(progress: Progress) -> None:
        tick = progress.statuses.get("tick", {})
        seen.append(tick.get("stopped", False))
        if tick.get("chunks", 0) >= 3 and not people:
            command = [sys.executable, "-c", PERSON, run_id]
            people.append(subprocess.Popen(command))

    with TapeDeck(config.tape_head(), record=reel, flights=None) as deck:
        result = run_processes(config, run_id=run_id, launcher="subprocess", on_progress=look, deck=deck)
    assert people[0].wait(10) == 0
    assert True in seen
    require_a_stop(tmp_path, config, result.report, reel)
