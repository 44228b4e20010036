"""The seqlock in shared memory, with real processes: no torn reads, and death of a writer at any time is survived."""

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dualsys.bridge.shared_slots import SharedSlots
from dualsys.errors import BridgeError

PAYLOAD = 1 << 18

WRITER = """
import sys
import numpy as np
from pathlib import Path
from dualsys.bridge.shared_slots import SharedSlots
box = SharedSlots.attach(Path(sys.argv[1]), write=True)
stamps = box.peek()
n = 0 if stamps is None else stamps.sequence + 1
print("ready", flush=True)
while True:
    box.write(np.full({words}, n, dtype=np.int64).tobytes(), sequence=n, observation_stamp_s=n, time_to_live_s=1.0)
    n += 1
""".replace("{words}", str(PAYLOAD // 8))

NAIVE_WRITER = """
import mmap, os, sys
import numpy as np
with open(sys.argv[1], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 0)
print("ready", flush=True)
n = 0
while True:
    shared[:] = np.full(len(shared) // 8, n, dtype=np.int64).tobytes()
    n += 1
"""


def start(source: str, path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", source, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def words_of(data: bytes | bytearray) -> list[int]:
    """Different words of a payload, all equal when it is whole."""
    return [int(word) for word in np.unique(np.frombuffer(data, dtype=np.int64))]


@pytest.fixture
def shared(shared_memory: Path) -> Path:
    path = shared_memory / "stress.box"
    SharedSlots.create(path, capacity=PAYLOAD)
    return path


def test_a_naive_buffer_tears_so_the_check_can_see_it(shared_memory: Path) -> None:
    path = shared_memory / "naive"
    path.write_bytes(bytes(PAYLOAD))
    writer = start(NAIVE_WRITER, path)
    deadline = time.monotonic() + 20
    torn = 0
    try:
        with path.open("rb", buffering=0) as file:
            while torn == 0 and time.monotonic() < deadline:
                torn += len(words_of(os.pread(file.fileno(), PAYLOAD, 0))) > 1
    finally:
        kill(writer)
    assert torn > 0


def test_no_read_is_torn_or_goes_back_while_the_writer_writes_flat_out(shared: Path) -> None:
    writer = start(WRITER, shared)
    box = SharedSlots.attach(shared, write=False)
    values: set[int] = set()
    newest = -1
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            peeked = box.peek()
            letter = box.read()
            if letter is None:
                continue
            stamps, data = letter
            assert words_of(data) == [stamps.sequence]
            assert stamps.observation_stamp_s == stamps.sequence
            assert stamps.sequence >= newest
            assert peeked is None or peeked.sequence <= stamps.sequence or box.reads_given_up
            newest = stamps.sequence
            values.add(newest)
    finally:
        kill(writer)
    assert len(values) > 50


def test_a_killed_writer_leaves_a_whole_value_and_the_next_one_goes_on(shared: Path) -> None:
    rng = random.Random(0)
    box = SharedSlots.attach(shared, write=False)
    last_sequence = -1
    for epoch in range(1, 9):
        writer = start(WRITER, shared)
        time.sleep(0.05 + rng.random() / 20)
        kill(writer)
        letter = box.read()
        assert letter is not None
        stamps, data = letter
        assert words_of(data) == [stamps.sequence]
        assert stamps.epoch == epoch
        assert stamps.sequence > last_sequence
        last_sequence = stamps.sequence
    adopted = SharedSlots.attach(shared, write=True)
    assert adopted.epoch == 9
    adopted.write(b"after", sequence=last_sequence + 1, observation_stamp_s=0.0, time_to_live_s=1.0)
    letter = box.read()
    assert letter is not None
    assert bytes(letter[1]) == b"after"


def test_a_writer_killed_inside_a_write_hides_nothing(shared: Path) -> None:
    """The slot that would come next is left odd and half written, as a kill inside a write leaves it."""
    with SharedSlots.attach(shared, write=True) as box:
        for sequence in range(3):
            box.write(b"whole", sequence=sequence, observation_stamp_s=0.0, time_to_live_s=1.0)
    stride = (shared.stat().st_size - 128) // 4
    with shared.open("r+b") as file:
        file.seek(128 + (4 % 4) * stride)  # ticket 4 follows tickets 1 to 3
        file.write(struct.pack("=Q", 2 * 4 + 1) + b"\xff" * 200)
    reader = SharedSlots.attach(shared, write=False)
    letter = reader.read()
    assert letter is not None
    assert (letter[0].sequence, bytes(letter[1])) == (2, b"whole")
    with SharedSlots.attach(shared, write=True) as box:
        box.write(b"next", sequence=3, observation_stamp_s=0.0, time_to_live_s=1.0)
    letter = reader.read()
    assert letter is not None
    assert (letter[0].sequence, letter[0].epoch, bytes(letter[1])) == (3, 2, b"next")


def test_a_late_joiner_sees_the_newest_and_a_leaving_reader_unlinks_nothing(shared: Path) -> None:
    box = SharedSlots.attach(shared, write=True)
    box.write(b"early", sequence=0, observation_stamp_s=0.0, time_to_live_s=1.0)
    source = (
        "import sys; from pathlib import Path; from dualsys.bridge.shared_slots import SharedSlots\n"
        "print(bytes(SharedSlots.attach(Path(sys.argv[1]), write=False).read()[1]).decode())"
    )
    for _ in range(2):
        result = subprocess.run([sys.executable, "-c", source, str(shared)], capture_output=True, text=True, check=True)
        assert result.stdout == "early\n"
        assert result.stderr == ""
    assert shared.exists()
    box.write(b"later", sequence=1, observation_stamp_s=0.0, time_to_live_s=1.0)


def test_a_box_has_one_writer(shared: Path) -> None:
    with SharedSlots.attach(shared, write=True), pytest.raises(BridgeError, match=rf"process {os.getpid()}\) is alive"):
        SharedSlots.attach(shared, write=True)
    SharedSlots.attach(shared, write=True).close()


def test_a_writer_may_wait_for_the_one_before_to_die_or_for_its_event(shared: Path) -> None:
    writer, stop = start(WRITER, shared), threading.Event()
    waiting: list[SharedSlots] = []
    thread = threading.Thread(target=lambda: waiting.append(SharedSlots.attach(shared, write=True, wait=stop)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    kill(writer)
    thread.join(20)
    assert not thread.is_alive()
    assert waiting[0].epoch == 2
    stop.set()
    with pytest.raises(BridgeError, match="is alive"):
        SharedSlots.attach(shared, write=True, wait=stop)


def test_a_stopped_writer_still_owns_its_box_and_its_heartbeat_ages(shared: Path) -> None:
    writer = start(WRITER, shared)
    try:
        writer.send_signal(signal.SIGSTOP)
        box = SharedSlots.attach(shared, write=False)
        before_s = box.heartbeat_s
        time.sleep(0.1)
        assert box.heartbeat_s == before_s
        with pytest.raises(BridgeError, match="is alive"):
            SharedSlots.attach(shared, write=True)
    finally:
        kill(writer)


def test_too_large_a_payload_is_refused_before_the_slot_is_touched(shared: Path) -> None:
    with SharedSlots.attach(shared, write=True) as box:
        box.write(b"old", sequence=0, observation_stamp_s=0.0, time_to_live_s=1.0)
        with pytest.raises(BridgeError, match=f"{PAYLOAD + 1} bytes exceeds its {PAYLOAD}"):
            box.write(bytes(PAYLOAD + 1), sequence=1, observation_stamp_s=0.0, time_to_live_s=1.0)
        letter = box.read()
        assert letter is not None
        assert bytes(letter[1]) == b"old"
        box.write(bytes(PAYLOAD), sequence=1, observation_stamp_s=0.0, time_to_live_s=1.0)


def test_a_checksum_catches_what_the_lock_words_do_not(shared: Path) -> None:
    with SharedSlots.attach(shared, write=True, careful=True) as box:
        box.write(b"first", sequence=0, observation_stamp_s=0.0, time_to_live_s=1.0)
        reader = SharedSlots.attach(shared, write=False)
        assert reader.read() is not None
        box.write(b"second", sequence=1, observation_stamp_s=0.0, time_to_live_s=1.0)
        stride = (shared.stat().st_size - 128) // 4
        with shared.open("r+b") as file:
            file.seek(128 + 2 * stride + 64)
            file.write(b"S")
        letter = reader.read()
        assert letter is not None
        assert bytes(letter[1]) == b"first"
        assert reader.reads_given_up == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a dualsys mailbox"),
        (b"x" * 4096, "not a dualsys mailbox"),
        (struct.pack("=8sIIQ", b"dualsysM", 99, 4, 64) + bytes(4096), "has layout 99"),
        (struct.pack("=8sIIQ", b"dualsysM", 1, 4, 1 << 40) + bytes(4096), "header promises"),
        (struct.pack("=8sIIQ", b"dualsysM", 1, 0, 64) + bytes(104), "header promises"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "foreign.box"
    path.write_bytes(content)
    for write in (False, True):
        with pytest.raises(BridgeError, match=message):
            SharedSlots.attach(path, write=write)


def test_missing_memory_and_missing_boxes_are_said_so(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(BridgeError, match=r"nowhere is missing: .*make it, or use a folder under /dev/shm"):
        SharedSlots.create(tmp_path / "nowhere" / "a.box", capacity=64)
    with pytest.raises(BridgeError, match="was it created"):
        SharedSlots.attach(tmp_path / "a.box", write=False)
    with pytest.raises(BridgeError, match="File exists"):
        SharedSlots.create(shared, capacity=64)
    with pytest.raises(BridgeError, match="capacity"):
        SharedSlots.create(tmp_path / "a.box", capacity=0)


def test_memory_that_cannot_be_had_is_refused_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(BridgeError, match=r"cannot allocate 0\.3 MiB \(File too large\)"):
            SharedSlots.create(tmp_path / "a.box", capacity=1 << 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
