"""A tape in shared memory gives back what was put in, and what it lost it lost from the old end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_ring import TapeRing
from dualsys.bridge.tape_wire import decode_record, encode_record
from dualsys.errors import BridgeError
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    EmergencyReset,
    EmergencyStop,
    Fault,
    KeptClear,
    Observed,
    Offered,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.messages import ActionChunk, ActionPrefix, Command
from dualsys.sources import PRIORITY
from dualsys.tape import Record
from tests.integration import bridge_system

# One NaN for all: JSON has no word for their bits.
FLOATS = st.floats(allow_nan=False, allow_infinity=True) | st.just(float("nan"))
VECTORS = st.lists(FLOATS, max_size=5).map(lambda values: np.array(values, dtype=np.float64))
WHOLE = st.integers(-(2**62), 2**62)
ROWS = st.integers(1, 9).map(lambda rows: np.random.default_rng(rows).uniform(-1, 1, (rows, 3)))
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(Started, now_s=FLOATS, position=VECTORS, instruction=st.text(max_size=99)),
    st.builds(Observed, stamp_s=FLOATS, state=VECTORS),
    st.builds(SubgoalArrived, sequence=WHOLE, epoch=WHOLE, observation_stamp_s=FLOATS, time_to_live_s=FLOATS),
    st.builds(
        ChunkArrived,
        now_s=FLOATS,
        chunk=st.builds(ActionChunk, rows=ROWS, dt_s=FLOATS, start_stamp_s=FLOATS, sequence=WHOLE, request=WHOLE),
    ),
    st.builds(
        Offered, now_s=FLOATS, source=st.sampled_from(PRIORITY), target=VECTORS, stamp_s=FLOATS, claims=st.booleans()
    ),
    st.builds(Tick, now_s=FLOATS),
    st.builds(KeptClear, share=FLOATS),
    st.builds(Fault, now_s=FLOATS, kind=st.text(max_size=9), detail=st.text(max_size=99)),
    st.builds(EmergencyStop, now_s=FLOATS, reason=st.text(max_size=99)),
    st.builds(EmergencyReset, now_s=FLOATS, position=VECTORS),
    st.builds(
        ChunkRequest,
        sequence=WHOLE,
        stamp_s=FLOATS,
        use_subgoal=st.booleans(),
        prefix=st.none()
        | st.builds(ActionPrefix, rows=ROWS, inference_delay=st.integers(0, 9), guidance=st.just("identity")),
    ),
    st.builds(
        Command,
        target=VECTORS,
        stamp_s=FLOATS,
        source=st.sampled_from(["actor", "hold", "start", "teleoperation", "controller"]),
        row=FLOATS,
        seam=FLOATS,
        limited=st.sampled_from([(), ("finite",), ("velocity", "acceleration")]),
    ),
)


def bits(record: Any) -> Any:
    """A record as nested values that compare to the bit."""
    if isinstance(record, np.ndarray):
        return record.dtype.str, record.shape, record.tobytes()
    names = getattr(type(record), "__slots__", None)
    return repr(record) if names is None else (type(record).__name__, *(bits(getattr(record, n)) for n in names))


@settings(max_examples=300)
@given(RECORDS)
def test_a_record_survives_its_frame(record: Record) -> None:
    assert bits(decode_record(encode_record(record))) == bits(record)


@settings(max_examples=200)
@given(RECORDS, st.data())
def test_a_frame_cut_or_lengthened_is_refused(record: Record, data: st.DataObject) -> None:
    frame = encode_record(record)
    cut = data.draw(st.integers(0, len(frame) - 1))
    for broken in (frame[:cut], frame + b"\0" * 8):
        with pytest.raises(BridgeError):
            decode_record(broken)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(RECORDS, max_size=30), max_size=12), capacity=st.integers(4096, 9000))
def test_what_is_read_is_what_was_put_in_and_losses_are_the_oldest(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Record]], capacity: int
) -> None:
    path: Path = tmp_path_factory.mktemp("tape") / "ring"
    writer = TapeRing.create(path, capacity=capacity)
    reader, late = TapeRing.open(path), None
    put, found = [], []
    for batch in batches:
        for record in batch:
            before = writer.unrecorded
            writer.add(record)
            if writer.unrecorded == before:
                put.append(bits(record))
        lost_before = reader.lost_bytes
        fresh = [bits(record) for record in reader.read()]
        if reader.lost_bytes == lost_before:
            found += fresh
            assert found == put
        else:
            assert fresh == put[len(put) - len(fresh) :]
            found = list(put)
    late = TapeRing.open(path)
    rest = [bits(record) for record in late.read()]
    assert rest == put[len(put) - len(rest) :]
    assert (late.lost_bytes > 0) == (len(rest) < len(put))
    for ring in (writer, reader, late):
        ring.close()
        ring.close()


def test_what_no_driver_gives_is_counted_and_not_kept(tmp_path: Path) -> None:
    ring = TapeRing.create(tmp_path / "ring", capacity=4096)
    word: Any = "word"
    too_large = Started(now_s=0.0, position=np.zeros(9999))
    offers: Any = {"source": word, "claims": 1}
    strange: Any = [None, too_large]
    for field, value in offers.items():
        offer = Offered(now_s=0.0, source="pose", target=np.zeros(2), stamp_s=0.0)
        strange.append(replace(offer, **{field: value}))
    for record in strange:
        ring.add(record)
    reader = TapeRing.open(tmp_path / "ring")
    assert ring.unrecorded == reader.unrecorded == len(strange)
    assert list(reader.read()) == []
    deck = TapeDeck(bridge_system.reach_system().tape_head(), record=None, flights=None)
    deck.drain(reader)
    assert deck.report()["unrecorded"] == len(strange)


def test_a_file_that_is_no_tape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"dualsysT" + bytes(80))
    for name in ("other", "missing"):
        with pytest.raises(BridgeError, match=f"{name}: (not a tape|cannot be opened)"):
            TapeRing.open(tmp_path / name)
    with pytest.raises(BridgeError, match=r"nowhere is missing: .* need shared memory mounted there"):
        TapeRing.create(tmp_path / "nowhere" / "ring", capacity=4096)
    with pytest.raises(BridgeError, match="other: File exists"):
        TapeRing.create(tmp_path / "other", capacity=4096)
