"""What the flight recorder takes for a fault, how it writes while the run goes on, and what it holds meanwhile."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.failure_watch import FailureWatch
from dualsys.bridge.flight_recorder import AFTER_S, KEPT_RECORDS, QUIET_S, WRITTEN_AT_ONCE, FlightRecorder
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import read_tape
from dualsys.events import ChunkArrived, EmergencyReset, EmergencyStop, Fault, Observed, Started, Tick
from dualsys.messages import ActionChunk, Command
from dualsys.settings import CoreConfig, SafetyConfig
from dualsys.tape import TapeHead
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
HEAD = TapeHead(embodiment=ARM, core=CoreConfig(), safety=SafetyConfig(), control_dt_s=0.01)


def command(now_s: float, source: Any = "actor") -> Command:
    return Command(target=np.zeros(2), stamp_s=now_s, source=source)


def chunk(now_s: float, **changes: Any) -> ChunkArrived:
    good = ActionChunk(rows=np.zeros((4, 2)), dt_s=0.02, start_stamp_s=now_s, request=0)
    return ChunkArrived(now_s=now_s, chunk=replace(good, **changes))


def names(recorder: FlightRecorder) -> list[str]:
    recorder.flush()
    return [path.name for path in recorder.tapes]


def go_on(recorder: FlightRecorder, until_s: float, source: Any = "actor") -> None:
    for index in range(int(recorder._now_s * 100) + 1, int(until_s * 100)):
        recorder.add(command(index / 100, source))


@pytest.mark.parametrize("pressed", [True, False], ids=["asked for", "by the core itself"])
def test_an_emergency_stop_leaves_a_tape_and_one_alone(tmp_path: Path, pressed: bool) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    go_on(recorder, 1.0)
    if pressed:
        recorder.add(EmergencyStop(now_s=1.0))
    go_on(recorder, 3.0, "stop")
    if pressed:
        recorder.add(EmergencyStop(now_s=3.0))
    go_on(recorder, 20.0, "stop")
    recorder.add(EmergencyReset(now_s=20.0, position=np.zeros(2)))
    go_on(recorder, 21.0)
    assert names(recorder) == ["flight-01-stop.mcap"]
    go_on(recorder, 22.0, "stop")
    assert names(recorder) == ["flight-01-stop.mcap", "flight-02-stop.mcap"]


@pytest.mark.parametrize(
    "changes",
    [{"rows": np.full((4, 2), np.nan)}, {"rows": np.zeros((4, 3))}, {"rows": None}, {"dt_s": "soon"}],
    ids=["nan", "shape", "nothing", "timing"],
)
def test_a_chunk_that_cannot_be_used_is_a_fault_of_the_actor_and_a_good_one_is_not(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    recorder.add(chunk(1.0))
    assert recorder.faults == 0
    recorder.add(chunk(2.0, **changes))
    assert recorder.faults == 1


@pytest.mark.parametrize("stamp_s", [float("inf"), 1e6, float("nan")])
def test_a_wild_stamp_of_what_was_seen_does_not_tell_the_time(tmp_path: Path, stamp_s: float) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    go_on(recorder, 1.0)
    recorder.add(Observed(stamp_s=stamp_s, state=np.zeros(2)))
    for fault_s in (1.0, 1.0 + 2 * QUIET_S):
        go_on(recorder, fault_s)
        recorder.add(Fault(now_s=fault_s, kind="planner"))
        go_on(recorder, fault_s + 2 * AFTER_S)
    assert names(recorder) == ["flight-01-planner.mcap", "flight-02-planner.mcap"]


def test_what_fails_for_ever_leaves_one_tape_and_another_when_it_had_gone_well(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    for index in range(1000):
        recorder.add(Fault(now_s=index / 10, kind="planner"))
    recorder.add(Fault(now_s=100.0 + QUIET_S, kind="../else/where"))
    recorder.add(Tick(now_s=100.0 + QUIET_S + AFTER_S))
    recorder.add(Fault(now_s=100.0 + QUIET_S + 2 * AFTER_S, kind="planner"))
    expected = ["flight-01-planner.mcap", "flight-02-..-else-where.mcap", "flight-03-planner.mcap"]
    for index in range(int(2e4)):
        recorder.add(Tick(now_s=200.0 + index / 1000))
    assert names(recorder) == expected
    assert recorder.faults == 1002


def test_it_writes_a_few_records_at_once_and_the_tape_is_of_the_moment_of_the_fault(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    recorder.add(Started(now_s=0.0, position=np.zeros(2)))
    go_on(recorder, 60.0)
    recorder.fault("camera")
    go_on(recorder, 60.0 + AFTER_S + 0.02)
    held = len(recorder._kept)
    assert recorder.tapes == []
    assert recorder._writing is not None
    recorder.fault("actor")
    go_on(recorder, 60.0 + AFTER_S + 1.0)
    assert recorder._writing._tape.records == pytest.approx(98 * WRITTEN_AT_ONCE, abs=3 * WRITTEN_AT_ONCE)
    go_on(recorder, 60.0 + AFTER_S + held / 100 / WRITTEN_AT_ONCE + 1.0)
    assert [path.name for path in recorder.tapes] == ["flight-01-camera.mcap"]
    assert held - 4 <= len(read_tape(recorder.tapes[0])[1]) <= held
    assert names(recorder) == ["flight-01-camera.mcap", "flight-02-actor.mcap"]
    stamps = [record.stamp_s for record in read_tape(recorder.tapes[1])[1] if isinstance(record, Command)]
    assert stamps[0] < 61.0 < 60.0 + AFTER_S + 1.0 < stamps[-1]


def test_records_whose_clock_stands_still_are_not_kept_without_end(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path, HEAD)
    tick = Tick(now_s=1.0)
    for _ in range(KEPT_RECORDS + 1000):
        recorder.add(tick)
    assert len(recorder._kept) == KEPT_RECORDS


def test_counts_that_rise_are_faults_and_those_of_a_new_process_begin_at_zero(tmp_path: Path) -> None:
    watch = FailureWatch()
    said = [
        ({"pid": 1, "failures": 0, "refused": 0}, []),
        ({"pid": 1, "failures": 1, "refused": 0}, ["actor"]),
        ({"pid": 1, "failures": 1, "refused": 0}, []),
        ({}, []),
        ({"pid": 1, "failures": 1, "refused": 2}, ["actor"]),
        ({"pid": 2, "failures": 0, "refused": 1}, ["actor"]),
        ({"pid": 2, "failures": 0, "refused": 1}, []),
        ({"pid": 3, "failures": 0}, []),
    ]
    for status, risen in said:
        assert watch.look({"actor": status}) == risen
    with TapeDeck(HEAD, record=None, flights=tmp_path) as deck:
        deck.add(command(0.0))
        deck.look({"planner": {"pid": 1, "refused": 2}, "actor": {"pid": 2, "failures": 0}})
    assert deck.report()["flights"] == ["flight-01-planner.mcap"]
