"""A seqlock of N slots on a file in shared memory: one writer, any number of readers, nobody waits.

    file   = header (128 B), then `slots` times [slot header (64 B), payload (capacity, rounded up to 64 B)]
    header = magic, layout version, slots, capacity, epoch, writer pid, writer start time, heartbeat, newest ticket
    slot   = lock word, sequence, epoch, observation stamp, written stamp, time to live, nbytes, crc32, flags

A value's ticket counts the writes into the box; it lands in slot `ticket % slots`. The lock word is `2 ticket + 1`
while the slot is being written and `2 ticket + 2` when it is complete, so a reader that sees the same complete word
before and after its copy has a whole value. A writer killed inside a write leaves its slot odd; `newest` still names
the last whole value, and the next writer overwrites the odd slot. Four slots let a reader be three writes behind.

Why a file of our own: `multiprocessing.shared_memory` unlinks a segment when any process that attached to it exits
(CPython 3.11), and the file's lock tells for certain whether its writer is alive.
"""

import fcntl
import mmap
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Self

from dualsys.bridge.fences import is_strongly_ordered, make_fence
from dualsys.errors import BridgeError

MAGIC = b"dualsysM"
LAYOUT_VERSION = 1
DEFAULT_SLOTS = 4

_HEADER_BYTES = 128
_SLOT_HEADER_BYTES = 64
_MAX_READ_TRIES = 16
_LOCK_POLL_S = 0.01

_FIXED = struct.Struct("=8sIIQ")  # magic, layout version, slots, capacity
_SLOT = struct.Struct("=QqqdddQII")  # lock, sequence, epoch, observation stamp, written stamp, ttl, nbytes, crc, flags
_HAS_CRC = 1
# Eight-byte words of the header that change, as indices into a view of 64-bit integers or floats.
_EPOCH, _WRITER_PID, _WRITER_START, _HEARTBEAT, _NEWEST = 3, 4, 5, 6, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """Where and when a value comes from."""

    sequence: int
    """Counted by the producer; only goes up."""
    epoch: int
    """Counts the writers the box has had."""
    observation_stamp_s: float
    """When the oldest source of the observation it was made from was sensed."""
    written_stamp_s: float
    """When it was published, on the machine's monotonic clock."""
    time_to_live_s: float = float("inf")


class SharedSlots:
    """Bytes and stamps in shared memory; `Mailbox` adds the types."""

    def __init__(self, path: Path, descriptor: int, size: int, *, write: bool) -> None:
        """Use `attach` instead."""
        self._path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        _, _, self._slots, self._capacity = _FIXED.unpack_from(self._map)
        self._stride = _SLOT_HEADER_BYTES + _round_up(self._capacity)
        self._raw = memoryview(self._map)
        # Native 64-bit views: one aligned load or store each, which struct's byte-wise formats don't promise.
        self._words = self._raw.cast("Q")
        self._floats = self._raw.cast("d")
        self._fence = make_fence()
        self._with_crc = not is_strongly_ordered()
        self._writes = write
        self._last: tuple[Stamps, bytearray] | None = None
        self._last_ticket = 0
        self._sequence = -1
        self.reads_given_up = 0
        """Reads that met a writer in the slot on every try and fell back on the value read before."""

    @staticmethod
    def create(path: Path, *, capacity: int, slots: int = DEFAULT_SLOTS) -> None:
        """Lay out an empty box: under another name first, so that nobody meets a half-made one."""
        if capacity < 1 or slots < 2:
            raise BridgeError(
                f"mailbox {path}: needs a capacity of >= 1 byte and >= 2 slots, got {capacity} and {slots}"
            )
        size = _HEADER_BYTES + slots * (_SLOT_HEADER_BYTES + _round_up(capacity))
        making = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BridgeError(
                f"mailbox {path}: cannot create a file there ({error.strerror}); shared memory must be mounted and "
                "writable (a container may need a larger --shm-size)"
            ) from error
        try:
            # Allocated now: a sparse file on a full tmpfs would kill a writer with SIGBUS later.
            os.posix_fallocate(descriptor, 0, size)
            os.pwrite(descriptor, _FIXED.pack(MAGIC, LAYOUT_VERSION, slots, capacity), 0)
            os.link(making, path)
        except OSError as error:
            raise BridgeError(f"mailbox {path}: cannot allocate {size} bytes there ({error.strerror})") from error
        finally:
            os.close(descriptor)
            os.unlink(making)

    @classmethod
    def attach(cls, path: Path, *, write: bool, wait: threading.Event | None = None) -> "SharedSlots":
        """Open a box; as its writer, adopt it, once it is free where there is an event to `wait` until."""
        try:
            descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        except OSError as error:
            raise BridgeError(f"mailbox {path}: cannot be opened ({error.strerror}); was it created?") from error
        try:
            size = _checked_size(path, descriptor)
            if write:
                _lock(path, descriptor, wait)
            box = cls(path, descriptor, size, write=write)
        except BaseException:
            os.close(descriptor)
            raise
        if write:
            box._adopt()
        return box

    def _adopt(self) -> None:
        stamps = self.peek()
        self._sequence = -1 if stamps is None else stamps.sequence
        self._words[_EPOCH] += 1
        # A sign of life before the name: else whoever watches for hangs would find the last writer's beat under it.
        self.beat()
        self._words[_WRITER_PID] = os.getpid()
        self._words[_WRITER_START] = process_start_ticks(os.getpid())

    @property
    def epoch(self) -> int:
        """How many writers the box has had."""
        return int(self._words[_EPOCH])

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the writer's last sign of life, 0 before the first."""
        return float(self._floats[_HEARTBEAT])

    def living_writer(self) -> int | None:
        """Process of the writer, None where there is none or it has ended."""
        pid = int(self._words[_WRITER_PID])
        # The start time tells it from another process that was given the same number since.
        alive = pid > 0 and process_start_ticks(pid) == int(self._words[_WRITER_START])
        return pid if alive else None

    def beat(self) -> None:
        """Leave a sign of life."""
        self._floats[_HEARTBEAT] = monotonic()

    def write(self, data: bytes, *, sequence: int, observation_stamp_s: float, time_to_live_s: float) -> None:
        """Publish bytes."""
        if not self._writes:
            raise BridgeError(f"mailbox {self._path}: opened for reading; open it as its writer to publish")
        # Everything that can be refused is refused before the slot is marked.
        if len(data) > self._capacity:
            raise BridgeError(f"mailbox {self._path}: a value of {len(data)} bytes exceeds its {self._capacity}")
        if sequence <= self._sequence:
            raise BridgeError(f"mailbox {self._path}: sequence {sequence} doesn't follow {self._sequence}")
        ticket = int(self._words[_NEWEST]) + 1
        offset = _HEADER_BYTES + (ticket % self._slots) * self._stride
        crc, flags = (zlib.crc32(data), _HAS_CRC) if self._with_crc else (0, 0)
        writing, now_s = 2 * ticket + 1, monotonic()
        header = _SLOT.pack(
            writing, sequence, self.epoch, observation_stamp_s, now_s, time_to_live_s, len(data), crc, flags
        )
        payload = offset + _SLOT_HEADER_BYTES
        self._words[offset // 8] = writing
        self._fence()
        self._raw[offset + 8 : payload] = header[8:]
        self._raw[payload : payload + len(data)] = data
        self._fence()
        self._words[offset // 8] = writing + 1
        self._fence()
        self._words[_NEWEST] = ticket
        self._floats[_HEARTBEAT] = now_s
        self._sequence = sequence

    def peek(self) -> Stamps | None:
        """Stamps of the newest value."""
        for _ in range(_MAX_READ_TRIES):
            ticket, offset = self._locate_newest()
            if ticket == 0:
                return None
            fields = _SLOT.unpack_from(self._map, offset)
            self._fence()
            if fields[0] == 2 * ticket + 2 and self._words[offset // 8] == fields[0]:
                return _stamps(fields)
        self.reads_given_up += 1
        return None if self._last is None else self._last[0]

    def read(self) -> tuple[Stamps, bytearray] | None:
        """Stamps and a copy of the newest value's bytes."""
        for _ in range(_MAX_READ_TRIES):
            ticket, offset = self._locate_newest()
            if ticket == self._last_ticket:
                return self._last
            fields = _SLOT.unpack_from(self._map, offset)
            nbytes = fields[6]
            self._fence()
            if fields[0] != 2 * ticket + 2 or nbytes > self._capacity:
                continue
            payload = offset + _SLOT_HEADER_BYTES
            data = bytearray(self._raw[payload : payload + nbytes])
            self._fence()
            if self._words[offset // 8] != fields[0] or (fields[8] & _HAS_CRC and zlib.crc32(data) != fields[7]):
                continue
            self._last_ticket, self._last = ticket, (_stamps(fields), data)
            return self._last
        self.reads_given_up += 1
        return self._last

    def _locate_newest(self) -> tuple[int, int]:
        ticket = int(self._words[_NEWEST])
        self._fence()
        return ticket, _HEADER_BYTES + (ticket % self._slots) * self._stride

    def __enter__(self) -> Self:
        """The box itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Unmap and let go of the writer's lock; the file stays."""
        if self._descriptor < 0:
            return
        for view in (self._floats, self._words, self._raw):
            view.release()
        self._map.close()
        os.close(self._descriptor)
        self._descriptor = -1


def process_start_ticks(pid: int) -> int:
    """Start time of a process in clock ticks since boot; with the pid it names a process for good. 0: unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _stamps(fields: tuple[int | float, ...]) -> Stamps:
    return Stamps(
        sequence=int(fields[1]),
        epoch=int(fields[2]),
        observation_stamp_s=fields[3],
        written_stamp_s=fields[4],
        time_to_live_s=fields[5],
    )


def _round_up(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


def _checked_size(path: Path, descriptor: int) -> int:
    """Size of the box's file. Raises `BridgeError` for a file that isn't one of ours."""
    head = os.pread(descriptor, _FIXED.size, 0)
    if len(head) < _FIXED.size or head[:8] != MAGIC:
        raise BridgeError(f"{path} is not a dualsys mailbox")
    _, version, slots, capacity = _FIXED.unpack(head)
    if version != LAYOUT_VERSION:
        raise BridgeError(f"mailbox {path} has layout {version}, this dualsys reads {LAYOUT_VERSION}: use one version")
    size = os.fstat(descriptor).st_size
    expected = _HEADER_BYTES + slots * (_SLOT_HEADER_BYTES + _round_up(capacity))
    if size != expected:
        raise BridgeError(f"mailbox {path} has {size} bytes, its header promises {expected}")
    return size


def _lock(path: Path, descriptor: int, wait: threading.Event | None) -> None:
    """Become the only writer. The kernel frees the lock when a writer dies, however it dies."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if wait is None or wait.wait(_LOCK_POLL_S):
                pid = struct.unpack("=Q", os.pread(descriptor, 8, 8 * _WRITER_PID))[0]
                message = f"mailbox {path}: its writer (process {pid}) is alive; a box has one writer"
                raise BridgeError(message) from error
        else:
            return
