"""The emergency stop's switch and the tick's end of it, without a clock."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.boxes import STOP, LocalBoxes, SharedBoxes
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.stop_reader import StopReader
from dualsys.bridge.stop_switch import StopSwitch
from dualsys.bridge.stop_wire import StopCodec, StopWord
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.errors import BridgeError
from dualsys.events import Started
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)


class Tick:
    """A core and a gate that have started, and what is noted."""

    def __init__(self, box: Mailbox[StopWord]) -> None:
        self.core = DecisionCore(ARM, CoreConfig(), SkipByDelay())
        gate = SafetyGate(ARM, 0.02, SafetyConfig())
        gate.reset(np.zeros(2))
        self.core.handle(Started(now_s=0.0, position=np.zeros(2)))
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.state = np.zeros(2)
        self.reader = StopReader(box, self.core, gate, lambda kind, _, **fields: self.noted.append((kind, fields)))

    def look(self) -> bool:
        """Whether it is stopped after a look."""
        self.reader.look(0.02, lambda: self.state, np.zeros(2))
        return self.core.stopped

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.noted]


def test_a_switch_that_hangs_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    Mailbox.create(tmp_path / f"{STOP.name}.box", StopCodec(), capacity=STOP.capacity)
    hung = SharedBoxes(tmp_path).writer(STOP)
    with pytest.raises(BridgeError, match=rf"its writer \(process {os.getpid()}\) is alive"):
        StopSwitch.join(tmp_path).stop()
    hung.close()
    StopSwitch.join(tmp_path).stop()


def test_it_stops_until_it_is_reset_and_each_is_noted_once() -> None:
    boxes = LocalBoxes()
    tick, switch = Tick(boxes.reader(STOP)), StopSwitch(boxes)
    assert not tick.look()
    switch.reset()
    assert not tick.look()
    switch.stop("somebody walked in")
    assert [tick.look(), tick.look()] == [True, True]
    switch.reset()
    assert [tick.look(), tick.look()] == [False, False]
    assert tick.noted == [("stop", {"reason": "somebody walked in"}), ("stop_reset", {"moved": False})]
    assert tick.core.status().counts["bad_events"] == 0


def test_pressed_and_reset_between_two_looks_it_was_pressed_all_the_same() -> None:
    boxes = LocalBoxes()
    tick, switch = Tick(boxes.reader(STOP)), StopSwitch(boxes)
    switch.stop()
    switch.reset()
    assert not tick.look()
    assert tick.kinds == ["stop", "stop_reset"]
    switch.stop()
    switch.reset()
    switch.stop("again")
    assert tick.look()


def test_a_switch_that_is_pressed_before_the_run_stops_it_and_one_that_was_reset_does_not() -> None:
    boxes = LocalBoxes()
    StopSwitch(boxes).stop()
    assert Tick(boxes.reader(STOP)).look()
    StopSwitch(boxes).reset()
    tick = Tick(boxes.reader(STOP))
    assert not tick.look()
    assert tick.noted == []


def test_where_nobody_knows_where_the_robot_is_it_stays_stopped_and_a_robot_that_was_moved_is_told() -> None:
    boxes = LocalBoxes()
    tick, switch = Tick(boxes.reader(STOP)), StopSwitch(boxes)
    switch.stop()
    tick.look()
    tick.state = np.full(2, np.nan)
    switch.reset()
    assert tick.look()
    tick.state = np.full(2, 0.7)
    assert tick.look(), "a reset is not kept for later"
    switch.reset()
    assert not tick.look()
    assert tick.kinds == ["stop", "stop_reset_refused", "stop_reset"]
    assert tick.noted[-1][1] == {"moved": True}


def test_what_cannot_be_read_is_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "stop.box"
    Mailbox.create(path, StopCodec(), capacity=STOP.capacity)
    tick = Tick(SharedBoxes(tmp_path).reader(STOP))

    class Garbage:
        def encode(self, value: bytes) -> bytes:
            return value

        def decode(self, data: bytearray) -> bytes:
            return bytes(data)

    other = Mailbox.writer(path, Garbage())
    other.write(b"press", sequence=0, observation_stamp_s=0.0)
    other.close()
    assert tick.look()
    assert "cannot be read" in tick.noted[0][1]["reason"]


def test_many_may_press_at_once_and_no_reason_is_too_odd(tmp_path: Path) -> None:
    Mailbox.create(tmp_path / "stop.box", StopCodec(), capacity=STOP.capacity)
    tick = Tick(SharedBoxes(tmp_path).reader(STOP))
    reasons = ["x" * 10**6, "\ud800", "äöü" * 1000, ""]
    people = [threading.Thread(target=StopSwitch.join(tmp_path).stop, args=(reason,)) for reason in reasons * 3]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert tick.look()
    assert tick.kinds == ["stop"]
    assert SharedBoxes(tmp_path).reader(STOP).last_sequence == len(people) - 1


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"there is no run in .*; `dualsys doctor` tells which are alive"):
        StopSwitch.join(tmp_path)


def test_a_word_survives_its_frame() -> None:
    word = StopWord(pressed=True, stop_sequence=3, stamp_s=1.5, reason="näher")
    assert StopCodec().decode(StopCodec().encode(word)) == word
