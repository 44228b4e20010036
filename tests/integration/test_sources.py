"""A person takes over a robot in a run on the wall clock, from a thread or another process, and gives it back."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.boxes import OFFERS, LocalBoxes
from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY
from dualsys.bridge.source_writer import SourceWriter
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.threads import run_threads
from dualsys.errors import BridgeError
from dualsys.telemetry import read_log
from dualsys.testing.limits import check_limits
from tests.integration import bridge_parts, bridge_system

ROOT = Path(__file__).parents[2]
PERSON = """
import sys, time
from pathlib import Path
import numpy as np
from dualsys.bridge.source_writer import SourceWriter

with SourceWriter.join(Path(sys.argv[1]), "teleoperation") as person:
    end_s = time.monotonic() + 1.5
    while time.monotonic() < end_s:
        person.offer(np.full(3, -0.2))
        time.sleep(0.02)
"""


def system(folder: Path) -> SystemConfig:
    endless = bridge_system.part("reach", pose=2.0, max_steps=1_000_000)
    return bridge_system.reach_system(environment=endless, seconds=5.0, log_folder=folder)


def require_a_visit(folder: Path, config: SystemConfig, report: dict[str, Any]) -> None:
    """The policy, then the person, then the policy again; every command within the limits."""
    lines = read_log(folder / "commands.jsonl")
    commands = [line for line in lines if line["kind"] == "command"]
    assert check_limits(lines, config.embodiment, 1 / config.control_hz).outside == 0
    sources = [command["source"] for command in commands]
    visit = [index for index, source in enumerate(sources) if source == "teleoperation"]
    assert "actor" in sources[: visit[0]]
    assert "actor" in sources[visit[-1] :]
    assert report["counters"]["handovers"] == 2
    np.testing.assert_allclose(commands[visit[-1]]["target"], np.full(3, -0.2), atol=1e-6)


def test_from_a_thread(tmp_path: Path) -> None:
    config, boxes = system(tmp_path), LocalBoxes()

    def drive() -> None:
        stop.wait(1.5)
        with SourceWriter(boxes, "teleoperation") as person:
            for _ in range(75):
                person.offer(np.full(3, -0.2))
                stop.wait(0.02)

    stop, person = threading.Event(), threading.Thread(target=drive)
    person.start()
    result = run_threads(
        config, bridge_parts.planner(), bridge_parts.reaching_actor(), on_progress=lambda _: None, boxes=boxes
    )
    stop.set()
    person.join()
    require_a_visit(tmp_path, config, result.report)


def test_from_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    config, run_id = system(tmp_path), f"sources-{os.getpid()}"
    people: list[subprocess.Popen[bytes]] = []

    def look(progress: Progress) -> None:
        if progress.statuses.get("tick", {}).get("chunks", 0) >= 3 and not people:
            command = [sys.executable, "-c", PERSON, str(SHARED_MEMORY / f"{PREFIX}{run_id}")]
            people.append(subprocess.Popen(command))

    result = run_processes(config, run_id=run_id, launcher="subprocess", on_progress=look)
    assert people[0].wait(10) == 0
    require_a_visit(tmp_path, config, result.report)


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"there is no run in .*; `dualsys doctor` tells which are alive"):
        SourceWriter.join(tmp_path, "pose")


def test_a_source_that_fails_keeps_the_say_and_the_next_one_gives_it_back() -> None:
    boxes = LocalBoxes()
    reader = boxes.reader(OFFERS["teleoperation"])

    def drive() -> None:
        with SourceWriter(boxes, "teleoperation") as person:
            person.offer(np.ones(2))
            raise OSError("a cable came off")

    with pytest.raises(OSError, match="came off"):
        drive()
    offered = reader.read()
    assert offered is not None
    assert offered.claims
    with SourceWriter(boxes, "teleoperation"):
        pass
    offered = reader.read()
    assert offered is not None
    assert not offered.claims


def test_the_next_writer_of_a_name_can_give_back_what_the_one_before_left() -> None:
    boxes = LocalBoxes()
    SourceWriter(boxes, "pose").release()
    reader = boxes.reader(OFFERS["pose"])
    assert reader.read() is None
    SourceWriter(boxes, "pose").offer(np.ones(2))
    SourceWriter(boxes, "pose").release()
    offered = reader.read()
    assert offered is not None
    assert (offered.claims, offered.target.tolist()) == (False, [1.0, 1.0])
