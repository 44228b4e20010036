"""An evaluation on a Ray cluster of two nodes, one of which goes away: the same result as alone."""

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.evaluate import main
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.journal import journal_of
from dualsys.errors import BridgeError, ConfigError
from dualsys.testing.faults import kill
from tests.integration.two_nodes import TwoNodes, two_nodes

STANDING = EvalConfig(suite_or_task="humanoid/touch", planner="null", actor="hold", episodes=12)
PATIENCE_S = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def players() -> list[int]:
    """Ray's processes of this test run that play."""
    mark, found = f"DUALSYS_TEST_RUN={os.getpid()}".encode(), []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # processes end while we look
            if not entry.name.isdigit() or not (entry / "cmdline").read_bytes().startswith(b"ray::PlayerServer"):
                continue
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def when_kept(journal: Path, episodes: int, act: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not journal.exists() or journal.read_bytes().count(b"\n") <= episodes:
        if time.monotonic() > deadline_s:
            return
        time.sleep(0.005)
    act()


def decided(file: Path) -> tuple[str, dict[str, Any]]:
    """A result without its timings, as text; and those."""
    report = json.loads(file.read_text())
    timings = report.pop("timings")
    return json.dumps(report, indent=2, sort_keys=True), timings


def harm(both: TwoNodes, journal: Path) -> None:
    when_kept(journal, 1, lambda: kill(players()[0]))
    when_kept(journal, 4, lambda: both.tell("kill"))


def test_a_killed_worker_and_a_lost_node_change_no_byte(tmp_path: Path) -> None:
    alone, there = tmp_path / "alone.json", tmp_path / "there.json"
    assert main(replace(STANDING, json=alone)) == 0
    with two_nodes() as both:
        both.tell("add other")
        config = replace(STANDING, json=there, launcher="ray", ray_address=both.address, workers=2)
        with pytest.raises(ConfigError, match="--workers 9 need a processor each and the Ray cluster has 2"):
            main(replace(config, workers=9))
        assert not journal_of(there).exists()
        harming = threading.Thread(target=harm, args=(both, journal_of(there)))
        harming.start()
        assert main(config) == 0
        harming.join()
    expected, _ = decided(alone)
    found, timings = decided(there)
    assert found == expected
    assert timings["launcher"] == "ray"
    assert timings["episodes_played"] == 12
    assert len(timings["worker_deaths"]) >= 1
    assert players() == []


def test_nobody_at_the_address_is_said(tmp_path: Path) -> None:
    config = replace(STANDING, json=tmp_path / "x.json", launcher="ray", ray_address="127.0.0.1:1")
    with pytest.raises(BridgeError, match=r"--ray-address 127\.0\.0\.1:1 .*--launcher subprocess does without Ray"):
        main(config)
    assert list(tmp_path.iterdir()) == []
