"""A seqlock of N slots on a file in shared memory: one writer, any number of readers, nobody waits.

    slot = lock word, sequence, epoch, observation stamp, written stamp, time to live, nbytes, crc32, flags, payload

A value's ticket counts the writes into the box; it lands in slot `ticket % slots`. The lock word is `2 ticket + 1`
while the slot is being written and `2 ticket + 2` when it is complete, so a reader that sees the same complete word
before and after its copy has a whole value. A writer killed inside a write leaves its slot odd; `newest` still names
the last whole value, and the next writer overwrites the odd slot. Four slots let a reader be three writes behind.

`box_file` has the file around the slots. What a payload is, its dtypes and shapes included, is said by the frame that
it holds (`frames`): one place for one array and for a subgoal of several.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path
from time import monotonic
from typing import Self

from dualsys.bridge.box_file import (
    DEFAULT_SLOTS,
    EPOCH,
    HEARTBEAT,
    NEWEST,
    SLOT_HEADER_BYTES,
    WRITER_PID,
    WRITER_START,
    BoxLayout,
    Pause,
    create_box_file,
    open_box_file,
    process_start_ticks,
)
from dualsys.bridge.fences import is_strongly_ordered, make_fence
from dualsys.bridge.read_buffers import ReadBuffers
from dualsys.bridge.stamps import Stamps
from dualsys.errors import BridgeError

_MAX_READ_TRIES = 16

_SLOT = struct.Struct("=QqqdddQII")  # lock, sequence, epoch, observation stamp, written stamp, ttl, nbytes, crc, flags
_HAS_CRC = 1


class SharedSlots:
    """Bytes and stamps in shared memory; `Mailbox` adds the types."""

    def __init__(self, path: Path, descriptor: int, layout: BoxLayout, *, write: bool, careful: bool) -> None:
        """Use `attach` instead."""
        self._path = path
        self._descriptor = descriptor
        self._layout = layout
        self._map = mmap.mmap(descriptor, layout.size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        self._raw = memoryview(self._map)
        # Native 64-bit views: one aligned load or store each, which struct's byte-wise formats don't promise.
        self._words = self._raw.cast("Q")
        self._floats = self._raw.cast("d")
        self._fence = make_fence(strongly_ordered=not careful)
        self._with_crc = careful
        self._writes = write
        self._buffers = ReadBuffers()
        self._last: tuple[Stamps, bytearray] | None = None
        self._last_ticket = 0
        self._sequence = -1
        self.reads_given_up = 0
        """Reads that met a writer in the slot on every try and fell back on the value read before."""

    @staticmethod
    def create(path: Path, *, capacity: int, slots: int = DEFAULT_SLOTS) -> None:
        """Lay out an empty box. Raises `BridgeError` where memory is missing or full, or the path is taken."""
        create_box_file(path, BoxLayout(slots=slots, capacity=capacity))

    @classmethod
    def attach(
        cls, path: Path, *, write: bool, wait: Pause | None = None, careful: bool | None = None
    ) -> "SharedSlots":
        """Open a box; as its writer, adopt it.

        Args:
            path: The box.
            write: As its writer.
            wait: While the box has a living writer, wait for its end, or for this event.
            careful: With memory fences, and checksums in what is written; None: where the processor needs them.

        Raises:
            BridgeError: where there is no such box, it isn't one of ours, or its writer is alive.
        """
        descriptor, layout = open_box_file(path, write=write, wait=wait)
        try:
            careful = not is_strongly_ordered() if careful is None else careful
            box = cls(path, descriptor, layout, write=write, careful=careful)
        except BaseException:
            os.close(descriptor)
            raise
        if write:
            box._adopt()
        return box

    def _adopt(self) -> None:
        stamps = self.peek()
        self._sequence = -1 if stamps is None else stamps.sequence
        self._words[EPOCH] += 1
        # A sign of life before the name: else whoever watches for hangs would find the last writer's beat under it.
        self.beat()
        self._words[WRITER_PID] = os.getpid()
        self._words[WRITER_START] = process_start_ticks(os.getpid())

    @property
    def epoch(self) -> int:
        """How many writers the box has had."""
        return int(self._words[EPOCH])

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the writer's last sign of life, 0 before the first."""
        return float(self._floats[HEARTBEAT])

    def living_writer(self) -> int | None:
        """Process of the writer, None where there is none or it has ended."""
        pid = int(self._words[WRITER_PID])
        # The start time tells it from another process that was given the same number since.
        alive = pid > 0 and process_start_ticks(pid) == int(self._words[WRITER_START])
        return pid if alive else None

    def beat(self) -> None:
        """Leave a sign of life."""
        self._floats[HEARTBEAT] = monotonic()

    def write(
        self, data: bytes | memoryview, *, sequence: int, observation_stamp_s: float, time_to_live_s: float
    ) -> None:
        """Publish bytes."""
        if not self._writes:
            raise BridgeError(f"mailbox {self._path}: opened for reading; open it as its writer to publish")
        # Everything that can be refused is refused before the slot is marked.
        if len(data) > self._layout.capacity:
            raise BridgeError(f"mailbox {self._path}: a value of {len(data)} bytes exceeds its {self._layout.capacity}")
        if sequence <= self._sequence:
            raise BridgeError(f"mailbox {self._path}: sequence {sequence} doesn't follow {self._sequence}")
        ticket = int(self._words[NEWEST]) + 1
        offset = self._layout.offset(ticket)
        crc, flags = (zlib.crc32(data), _HAS_CRC) if self._with_crc else (0, 0)
        writing, now_s = 2 * ticket + 1, monotonic()
        header = _SLOT.pack(
            writing, sequence, self.epoch, observation_stamp_s, now_s, time_to_live_s, len(data), crc, flags
        )
        payload = offset + SLOT_HEADER_BYTES
        self._words[offset // 8] = writing
        self._fence()
        self._raw[offset + 8 : payload] = header[8:]
        self._raw[payload : payload + len(data)] = data
        self._fence()
        self._words[offset // 8] = writing + 1
        self._fence()
        self._words[NEWEST] = ticket
        self._floats[HEARTBEAT] = now_s
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
        """Stamps and a copy of the newest value's bytes, which nobody changes while anyone has it."""
        for _ in range(_MAX_READ_TRIES):
            ticket, offset = self._locate_newest()
            if ticket == self._last_ticket:
                return self._last
            fields = _SLOT.unpack_from(self._map, offset)
            nbytes = fields[6]
            self._fence()
            if fields[0] != 2 * ticket + 2 or nbytes > self._layout.capacity:
                continue
            payload = offset + SLOT_HEADER_BYTES
            data = self._buffers.take(nbytes)
            # Through a view: a bytearray would copy what it is assigned before it copies it.
            memoryview(data)[:] = self._raw[payload : payload + nbytes]
            self._fence()
            if self._words[offset // 8] != fields[0] or (fields[8] & _HAS_CRC and zlib.crc32(data) != fields[7]):
                continue
            self._last_ticket, self._last = ticket, (_stamps(fields), data)
            return self._last
        self.reads_given_up += 1
        return self._last

    def _locate_newest(self) -> tuple[int, int]:
        ticket = int(self._words[NEWEST])
        self._fence()
        return ticket, self._layout.offset(ticket)

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


def _stamps(fields: tuple[int | float, ...]) -> Stamps:
    return Stamps(
        sequence=int(fields[1]),
        epoch=int(fields[2]),
        observation_stamp_s=fields[3],
        written_stamp_s=fields[4],
        time_to_live_s=fields[5],
    )
