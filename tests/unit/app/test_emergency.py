"""`dualsys stop` and `dualsys reset`: which run is meant, and what is said where its tick doesn't answer."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.app import cli, emergency
from dualsys.bridge import run_folder
from dualsys.bridge.boxes import STOP, BoxSpec, SharedBoxes, status_box
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.stop_reader import StopReader
from dualsys.chunk_policies import SkipByDelay
from dualsys.clock import MonotonicClock
from dualsys.decision import DecisionCore
from dualsys.errors import BridgeError
from dualsys.events import Started
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)


def with_boxes(folder: RunFolder) -> Path:
    """A run in processes, as far as a switch sees one."""
    specs: list[BoxSpec[Any]] = [STOP, status_box("tick")]
    for spec in specs:
        Mailbox.create(folder.path / f"{spec.name}.box", spec.codec, capacity=spec.capacity)
    return folder.path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only run there is, and so that nobody else's is stopped, in a folder of its own."""
    monkeypatch.setattr(run_folder, "SHARED_MEMORY", tmp_path)
    with RunFolder("run-1", root=tmp_path) as folder:
        yield with_boxes(folder)


class Ticking:
    """A tick's end of the switch, in a thread. A context manager."""

    def __init__(self, folder: Path, status: Callable[[bool], dict[str, Any]]) -> None:
        boxes = SharedBoxes(folder)
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.state, self._status, self._end = np.zeros(2), status, threading.Event()
        self._core, self._gate = DecisionCore(ARM, CoreConfig(), SkipByDelay()), SafetyGate(ARM, 0.02, SafetyConfig())
        self._gate.reset(np.zeros(2))
        self._core.handle(Started(now_s=0.0, position=np.zeros(2)))
        self._reader = StopReader(
            boxes.reader(STOP), self._core, self._gate, lambda kind, _, **fields: self.noted.append((kind, fields))
        )
        self._reporter = Reporter(boxes.writer(status_box("tick")), MonotonicClock())
        self._thread = threading.Thread(target=self._tick)

    def _tick(self) -> None:
        while not self._end.wait(0.005):
            self._reader.look(0.02, lambda: self.state, np.zeros(2))
            self._reporter.publish(self._status(self._core.stopped))

    def __enter__(self) -> "Ticking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_the_only_run_is_stopped_and_reset_and_the_tick_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ticking(run, lambda stopped: {"running": True, "stopped": stopped}) as tick:
        assert cli.main(["stop", "--reason", "somebody walked in"]) == 0
        assert f"{run} is stopped; `dualsys reset`" in capsys.readouterr().out
        assert tick.noted == [("stop", {"reason": "somebody walked in"})]
        tick.state = np.full(2, np.nan)
        assert cli.main(["reset", "run-1", "--answer-within-s", "0.2"]) == 1
        assert "still stopped" in capsys.readouterr().err
        tick.state = np.zeros(2)
        assert cli.main(["reset", str(run)]) == 0
        assert "it moves again" in capsys.readouterr().out
        assert [kind for kind, _ in tick.noted] == ["stop", "stop_reset_refused", "stop_reset"]


def test_a_reset_of_what_is_not_stopped_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ticking(run, lambda stopped: {"running": True, "stopped": stopped}):
        assert cli.main(["reset"]) == 0
    said = capsys.readouterr().out
    assert "is not stopped, and was not" in said
    assert "moves again" not in said


def test_a_tick_that_is_silent_or_does_not_stop_is_no_success(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stop", "--answer-within-s", "0.2"]) == 1
    assert "does not answer: cut the power" in capsys.readouterr().err
    with Ticking(run, lambda _: {"running": True, "stopped": False}):
        assert cli.main(["stop", "--answer-within-s", "0.2"]) == 1
    assert "does not say that it is stopped: cut the power" in capsys.readouterr().err


def test_a_run_that_has_not_begun_begins_stopped(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ticking(run, lambda _: {"running": False}):
        assert cli.main(["stop"]) == 0
    assert "has not begun: it begins stopped" in capsys.readouterr().out


def test_which_run_is_meant(tmp_path: Path, run: Path) -> None:
    assert emergency.find_run("", tmp_path) == run
    with RunFolder("threads", root=tmp_path), RunFolder("run-2", root=tmp_path) as second:
        assert emergency.find_run("", tmp_path) == run, "those without a switch can't be meant"
        other = with_boxes(second)
        with pytest.raises(BridgeError, match=rf"which of 2 runs\? Give its name as RUN: {run}; {other}"):
            emergency.find_run("", tmp_path)
        for name in ("run-2", "dualsys.run-2", str(other)):
            assert emergency.find_run(name, tmp_path) == other
        with pytest.raises(BridgeError, match=rf"no run 'run-3' is alive; runs in .*: {run}; {other}"):
            emergency.find_run("run-3", tmp_path)
    with pytest.raises(BridgeError, match="no run in processes is alive under"):
        emergency.find_run("", tmp_path / "nowhere")
