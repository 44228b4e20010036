"""A shared mailbox against what it should be: a variable. Whatever is written, killed, adopted and kept."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.bridge import ArrayCodec, Mailbox
from dualsys.bridge.frames import DTYPES
from dualsys.bridge.read_buffers import KEPT_BUFFERS, ReadBuffers
from dualsys.bridge.shared_slots import SharedSlots
from dualsys.errors import BridgeError

CAPACITY = 200
WRITE, READ, KEEP, ADOPT, DIE_IN_WRITE = "write", "read", "keep", "adopt", "die in write"
STEPS = st.lists(
    st.tuples(st.sampled_from([WRITE, READ, KEEP, ADOPT, DIE_IN_WRITE]), st.integers(0, CAPACITY)), max_size=60
)


def payload(sequence: int, nbytes: int) -> bytes:
    return np.random.default_rng(sequence).bytes(nbytes)


def leave_the_next_slot_half_written(path: Path) -> None:
    """As a kill inside a write does: the lock word is odd, the payload is of two values."""
    newest = int(np.fromfile(path, dtype=np.uint64, count=8)[7])
    with path.open("r+b") as file:
        slots, stride = 4, (path.stat().st_size - 128) // 4
        file.seek(128 + (newest + 1) % slots * stride)
        file.write(np.uint64(2 * (newest + 1) + 1).tobytes() + b"\xee" * 120)


@settings(max_examples=150)
@given(STEPS, st.booleans())
def test_a_box_is_a_variable_that_survives_its_writers(steps: list[tuple[str, int]], careful: bool) -> None:
    kept: list[tuple[bytearray, bytes]] = []
    newest: tuple[int, int, bytes] | None = None
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="dualsys-test.") as folder:
        path = Path(folder) / "value.box"
        SharedSlots.create(path, capacity=CAPACITY)
        writer = SharedSlots.attach(path, write=True, careful=careful)
        reader = SharedSlots.attach(path, write=False, careful=careful)
        epoch, sequence = 1, -1
        for step, number in steps:
            if step == WRITE:
                sequence += 1 + number % 3
                data = payload(sequence, number)
                writer.write(data, sequence=sequence, observation_stamp_s=sequence / 8, time_to_live_s=number)
                newest = (sequence, epoch, data)
            elif step in (ADOPT, DIE_IN_WRITE):
                writer.close()
                if step == DIE_IN_WRITE:
                    leave_the_next_slot_half_written(path)
                writer, epoch = SharedSlots.attach(path, write=True, careful=careful), epoch + 1
                with pytest.raises(BridgeError, match="follow"):
                    writer.write(b"", sequence=sequence, observation_stamp_s=0.0, time_to_live_s=1.0)
            letter, stamps = reader.read(), reader.peek()
            assert (letter is None) == (stamps is None) == (newest is None)
            if letter is not None and newest is not None:
                assert (letter[0].sequence, letter[0].epoch, bytes(letter[1])) == newest
                assert letter[0] == stamps
                assert reader.read() is letter
                if step == KEEP:
                    kept.append((letter[1], newest[2]))
            assert all(bytes(data) == expected for data, expected in kept)
        assert (reader.epoch, reader.living_writer()) == (epoch, os.getpid())
        writer.close()
        reader.close()


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**32 - 1))
def test_an_array_of_any_shape_comes_back_with_its_bits(dtype: str, shape: list[int], seed: int) -> None:
    bits = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    array = np.frombuffer(bits if dtype != "|b1" else bytes(bit & 1 for bit in bits), dtype=dtype).reshape(shape)
    codec = ArrayCodec(dtype, ndim=len(shape))
    back = codec.decode(codec.encode(array))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    with pytest.raises(BridgeError, match="axes"):
        ArrayCodec(dtype, ndim=len(shape) + 1).encode(array)
    with pytest.raises(BridgeError, match="axes"):
        ArrayCodec(dtype, ndim=len(shape) + 1).decode(bytearray(codec.encode(array)))


def test_a_dtype_that_frames_do_not_have_is_refused_by_name() -> None:
    with pytest.raises(BridgeError, match=r"no arrays of 'complex64'; they have <f8"):
        ArrayCodec("complex64", ndim=1)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=60))
def test_a_buffer_is_used_again_only_when_nobody_has_it(steps: list[tuple[int, bool, bool]]) -> None:
    pool, kept = ReadBuffers(), list[tuple[object, bytes]]()
    for number, (size, keep, as_view) in enumerate(steps):
        buffer = pool.take(8 * size)
        assert len(buffer) == 8 * size
        buffer[:] = bytes([number]) * (8 * size)
        if keep:
            kept.append((np.frombuffer(buffer, dtype=np.uint8) if as_view and size else buffer, bytes(buffer)))
        del buffer
        assert all(bytes(value) == expected for value, expected in kept)  # type: ignore[call-overload]


def test_reading_on_and_on_allocates_nothing_more(tmp_path: Path) -> None:
    codec = ArrayCodec("<f4", ndim=2)
    Mailbox.create(tmp_path / "subgoal.box", codec, capacity=2**18)
    writer, reader = Mailbox.writer(tmp_path / "subgoal.box", codec), Mailbox.reader(tmp_path / "subgoal.box", codec)
    addresses, held = set[int](), np.zeros((1, 1), np.float32)
    for sequence in range(50):
        writer.write(np.full((128, 256), sequence, np.float32), sequence=sequence, observation_stamp_s=0.0)
        before, newest = held, reader.read()
        assert newest is not None
        held = newest
        addresses.add(held.ctypes.data)
        assert before.min() == before.max() == max(0, sequence - 1)
    assert len(addresses) <= KEPT_BUFFERS
