"""Whatever happens in a run, its tape decides the same again; a command that was tampered with is found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualsys.bridge.flight_recorder import FlightRecorder
from dualsys.bridge.inline import InlineDriver
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import TapeWriter, read_parts, read_tape
from dualsys.bridge.tape_reel import TapeReel
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import TapeError
from dualsys.events import Fault, Observed, Started
from dualsys.messages import Command, Observation
from dualsys.replay import replay
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.tape import Record, TapeHead
from dualsys.testing import KnownPlanner, PoseActor, ReachEnvironment, fake_embodiment
from dualsys.testing.faults import FaultyActor
from tests.properties.test_tape_ring import RECORDS, bits

ARM = fake_embodiment(2)
SPEC = SubgoalSpec(num_tokens=1, dim=1)
POLICIES = ("naive", "skip-by-delay", "temporal-ensemble", "cross-fade")
FAILURES = st.lists(st.sampled_from(["none", "none", "nan", "shape", "stamp", "nothing"]), min_size=1, max_size=6)


class Listed:
    """A tape in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)


def head_of(core: CoreConfig, timing: TimingConfig) -> TapeHead:
    return TapeHead(embodiment=ARM, core=core, safety=SafetyConfig(), control_dt_s=1.0 / timing.control_hz)


def played(
    core: CoreConfig,
    timing: TimingConfig,
    failures: Any,
    seeds: list[int],
    tape: Any,
    released: list[int] | None = None,
    safety: SafetyConfig | None = None,
    clearance: Any = None,
) -> None:
    """Episodes of an arm whose actor fails by a script; all are stopped, and those named (else all) released again."""
    actor = FaultyActor(PoseActor(ARM, SPEC, np.full(2, 0.7)), failures)
    decisions = DecisionCore(ARM, core, build_policy(core.chunk_policy), tape)
    gate = SafetyGate(ARM, 1.0 / timing.control_hz, safety or SafetyConfig(), clearance, tape)
    driver = InlineDriver(KnownPlanner(SPEC), actor, decisions, gate, timing, tape=tape)
    environment = ReachEnvironment(ARM, np.full(2, 0.7), control_dt_s=1.0 / timing.control_hz, max_steps=60)
    for seed in seeds:
        environment.reset(seed=seed)
        driver.reset(environment.observe(), seed=seed)
        over, steps = False, 0
        while not over:
            command = driver.step(environment.observe())
            steps += 1
            if steps == 20:
                driver.stop("somebody pressed it")
            if steps == 30 and (released is None or seed in released):
                driver.reset_stop()
            _, _, terminated, truncated, _ = environment.step(command.target)
            over = terminated or truncated


CORES = st.builds(
    CoreConfig,
    actor_hz=st.sampled_from([5.0, 10.0, 25.0]),
    chunk_policy=st.sampled_from(POLICIES),
    first_subgoal_wait_s=st.sampled_from([0.0, 0.3]),
    chunk=st.just(StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4)),
)
TIMINGS = st.builds(TimingConfig, actor_latency_s=st.sampled_from([0.0, 0.03, 0.2]), control_hz=st.just(50.0))


@settings(max_examples=25)
@given(CORES, TIMINGS, FAILURES)
def test_a_run_is_decided_again_to_the_bit(core: CoreConfig, timing: TimingConfig, failures: Any) -> None:
    tape = Listed()
    played(core, timing, failures, [0, 1, 2], tape)
    result = replay(head_of(core, timing), tape.records)
    assert result.identical, result.first_difference
    assert result.commands == sum(isinstance(record, Command) for record in tape.records)
    starts = [index for index, record in enumerate(tape.records) if isinstance(record, Started)]
    late = replay(head_of(core, timing), tape.records[starts[1] - 7 :])
    assert late.identical, late.first_difference
    assert late.passed_over == 7


class Wall:
    """A wall before the first joint, 0.5 away from zero, and somebody who at times can't tell how near it is."""

    names = ("wall",)

    def __init__(self, fails_every: int) -> None:
        self._fails_every, self._calls = fails_every, 0

    def distances(self, position: Any) -> Any:
        self._calls += 1
        if self._fails_every and self._calls % self._fails_every == 0:
            raise RuntimeError("no model")
        return np.array([0.5 - position[0]])


@settings(max_examples=10)
@given(st.sampled_from([0, 7]), st.sampled_from(["joint", "path"]), FAILURES)
def test_a_run_that_was_kept_clear_of_things_is_decided_again_without_a_model(
    fails_every: int, follow: Any, failures: Any
) -> None:
    core, timing, tape = CoreConfig(), TimingConfig(actor_latency_s=0.03, control_hz=50.0), Listed()
    safety = SafetyConfig(clearance_m=0.1, follow=follow)
    played(core, timing, ["none", *failures], [0, 1], tape, safety=safety, clearance=Wall(fails_every))
    assert any(isinstance(record, Command) and "clearance" in record.limited for record in tape.records)
    result = replay(head_of(core, timing).model_copy(update={"safety": safety}), tape.records)
    assert result.identical, result.first_difference


@pytest.mark.parametrize("cut", [25, 45], ids=["while it drives", "when it is silent"])
def test_a_start_while_a_source_from_before_the_tape_has_the_say_is_passed_over(cut: int) -> None:
    """Teleoperation claims at tick 5, is silent from tick 20 on, held from tick 32 on; episodes begin at 60 and 100."""
    core, timing, tape = CoreConfig(), TimingConfig(actor_latency_s=0.03), Listed()
    decisions = DecisionCore(ARM, core, build_policy(core.chunk_policy), tape)
    actor = PoseActor(ARM, SPEC, np.full(2, 0.7))
    driver = InlineDriver(None, actor, decisions, SafetyGate(ARM, 0.02, SafetyConfig()), timing, tape=tape)
    position, begins = np.zeros(2), 0
    for tick in range(140):
        seen = Observation(stamp_s=tick * 0.02, state=position)
        if tick in (0, 60, 100):
            driver.reset(seen, seed=0)
        if 5 <= tick < 20:
            driver.offer(np.full(2, -0.3), "teleoperation")
        if tick == 80:
            driver.release("teleoperation")
        begins = len(tape.records) if tick == cut else begins
        position = driver.step(seen).target
    result = replay(head_of(core, timing), tape.records[begins:])
    assert result.identical, result.first_difference
    assert result.commands == 40


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["target", "row", "seam", "limited"]))
def test_a_command_that_was_changed_is_named(where: int, field: str) -> None:
    core, timing, tape = CoreConfig(), TimingConfig(actor_latency_s=0.03), Listed()
    played(core, timing, ["none"], [0], tape)
    commands = [index for index, record in enumerate(tape.records) if isinstance(record, Command)]
    index = commands[where % len(commands)]
    command = tape.records[index]
    assert isinstance(command, Command)
    changed: dict[str, Any] = {
        "target": np.nextafter(command.target, 9.0),
        "row": -2.5,
        "seam": 1e-300,
        "limited": ("stale",),
    }
    tape.records[index] = replace(command, **{field: changed[field]})
    result = replay(head_of(core, timing), tape.records)
    assert result.differing == 1
    assert f"{field} " in result.first_difference


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORDS, max_size=20), st.floats(0.0, 1.0))
def test_a_file_gives_back_its_records_and_a_cut_one_the_first_of_them(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], share: float
) -> None:
    path: Path = tmp_path_factory.mktemp("tape") / "run.mcap"
    head = head_of(CoreConfig(), TimingConfig())
    with TapeWriter(path, head) as tape:
        for record in records:
            tape.add(record)
    found_head, found = read_tape(path)
    assert found_head == head
    assert [bits(record) for record in found] == [bits(record) for record in records]
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    rest = _readable(path)
    assert [bits(record) for record in rest] == [bits(record) for record in records[: len(rest)]]


def _readable(path: Path) -> list[Record]:
    """Records of a file, none where not even its head is whole."""
    try:
        return read_tape(path)[1]
    except TapeError:
        return []


def test_a_fault_leaves_a_tape_of_what_was_before_and_after_it(tmp_path: Path) -> None:
    core, timing = CoreConfig(), TimingConfig(actor_latency_s=0.03)
    head = head_of(core, timing)
    with TapeDeck(head, record=None, flights=tmp_path / "flights") as deck:
        played(core, timing, ["none", "none", "none", "nothing", "none"], list(range(20)), deck)
    flights = sorted((tmp_path / "flights").iterdir())
    assert [path.name for path in flights] == deck.report()["flights"]
    # Each episode is stopped by hand, and that leaves a tape, too.
    assert {path.stem.rpartition("-")[2] for path in flights} <= {"stop", "actor"}
    _, records = read_tape(flights[0])
    assert any(isinstance(record, Fault) for record in records)
    result = replay(head, records)
    assert result.identical, result.first_difference


def test_a_recorder_forgets_what_is_old_and_never_fails(tmp_path: Path) -> None:
    core, timing = CoreConfig(), TimingConfig()
    (tmp_path / "file").write_text("")
    recorder = FlightRecorder(tmp_path / "file" / "flights", head_of(core, timing))
    for index in range(100_000):
        recorder.add(Fault(now_s=0.01 * index, kind="camera"))
    recorder.flush()
    assert recorder.tapes == []
    assert recorder.faults == 100_000
    assert len(recorder._kept) < 1100


@pytest.mark.parametrize("keep", [0, 3])
def test_a_tape_in_parts_is_the_tape_in_one_and_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    core, timing = CoreConfig(), TimingConfig(actor_latency_s=0.03)
    head = head_of(core, timing)
    tape = Listed()
    played(core, timing, ["none", "nan", "none", "nothing", "none"], list(range(24)), tape)
    with TapeReel(tmp_path / "run.mcap", head, part_bytes=20_000, keep=keep) as reel:
        for record in tape.records:
            reel.add(record)
    names = [path.name for path in reel.files]
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == keep if keep else names[0] == "run.0000.mcap"
    _, records = read_parts(reel.files)
    found = [bits(record) for record in records]
    assert found == [bits(record) for record in tape.records[-len(found) :]]
    assert keep or len(found) == len(tape.records)
    with pytest.raises(TapeError, match="parts of another run"):
        TapeReel(tmp_path / "run.mcap", head, part_bytes=1)
    with pytest.raises(TapeError, match="does not go on from"):
        list(read_parts([reel.files[0], reel.files[2]])[1])


def test_what_is_no_tape_is_refused(tmp_path: Path) -> None:
    for name, data in (("text.mcap", b"hello"), ("empty.mcap", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TapeError, match=name):
            read_tape(tmp_path / name)
    with pytest.raises(TapeError, match="does not exist; `dualsys run --record FILE`"):
        read_tape(tmp_path / "none.mcap")
    with pytest.raises(TapeError, match="version 2, this dualsys reads 1"):
        TapeHead.parse(head_of(CoreConfig(), TimingConfig()).model_copy(update={"version": 2}).model_dump_json(), "x")


def test_a_tape_with_a_bit_turned_over_is_refused_or_whole(tmp_path: Path) -> None:
    core, timing = CoreConfig(), TimingConfig(control_hz=100.0)
    path = tmp_path / "run.mcap"
    with TapeWriter(path, head_of(core, timing)) as tape:
        for number in range(400):
            tape.add(Observed(stamp_s=number / 100, state=np.random.default_rng(number).normal(size=3)))
    whole, records = path.read_bytes(), [bits(record) for record in read_tape(path)[1]]
    refused = 0
    for place in np.linspace(0, len(whole) - 1, 150).astype(int):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        try:
            found = [bits(record) for record in read_tape(path)[1]]
        except TapeError:
            refused += 1
        else:  # an index that nobody reads, or all from there on is lost: what is given is what was written
            assert found == records[: len(found)]
    assert refused > 50


def test_nothing_is_decided_again_from_a_start_with_the_stop_still_pressed() -> None:
    core, timing, tape = CoreConfig(), TimingConfig(actor_latency_s=0.03), Listed()
    played(core, timing, ["none"], [0, 1, 2], tape, released=[1, 2])
    head = head_of(core, timing)
    assert replay(head, tape.records).identical
    starts = [index for index, record in enumerate(tape.records) if isinstance(record, Started)]
    for begin in (5, starts[1] - 1):
        late = replay(head, tape.records[begin:])
        assert late.passed_over == starts[2] - begin
        assert late.identical, late.first_difference
