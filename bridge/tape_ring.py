"""A tape in shared memory: the newest records of a run, readable while it runs and after its process was killed.

    file = magic, version, capacity, `written`, `oldest`, `unrecorded`, then `capacity` bytes in a ring
    ring = records one behind the other, over the end and on from the start: length u32, crc32 u32, frame, padding to 8

`written` counts bytes ever written and moves once a record is whole; `oldest` is where the oldest record begins, and
moves before it is written over; `unrecorded` counts what could not be kept. A reader that has fallen behind goes on
there, and says how many bytes it lost. One writer, any readers.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import final

from dualsys.bridge.fences import is_strongly_ordered, make_fence
from dualsys.bridge.shared_memory import no_room, require_folder
from dualsys.bridge.tape_wire import decode_record, encode_record
from dualsys.errors import BridgeError
from dualsys.tape import Record

MAGIC = b"dualsysT"
_HEAD = struct.Struct("=8sIIQQQ")  # magic, version, reserved, capacity, written, oldest
_VERSION = 1
_HEAD_BYTES = 64
_WRITTEN, _OLDEST, _UNRECORDED = 3, 4, 5
"""Eight-byte words of the head that change."""
_RECORD = struct.Struct("=II")


@final
class TapeRing:
    """One writer's end, made with `create`, or a reader's, made with `open`."""

    def __init__(self, path: Path, descriptor: int, size: int, *, write: bool) -> None:
        """Use `create` or `open` instead."""
        self._path, self._descriptor = path, descriptor
        self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        self._raw = memoryview(self._map)
        self._words = self._raw[:_HEAD_BYTES].cast("Q")
        self._capacity = size - _HEAD_BYTES
        self._fence = make_fence(strongly_ordered=is_strongly_ordered())
        self._position = 0
        self.lost_bytes = 0
        """Of a reader: overwritten before they were read."""

    @classmethod
    def create(cls, path: Path, *, capacity: int) -> "TapeRing":
        """Lay out an empty ring, under another name first, so that nobody meets a half-made one.

        Raises:
            BridgeError: where shared memory is missing or has no room, or the name is taken. Nothing is left then.
        """
        require_folder(path.parent)
        capacity = _padded(capacity)
        size, making = _HEAD_BYTES + capacity, path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = -1
        try:
            descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(descriptor, 0, size)
            os.pwrite(descriptor, _HEAD.pack(MAGIC, _VERSION, 0, capacity, 0, 0), 0)
            os.link(making, path)
            return cls(path, os.dup(descriptor), size, write=True)
        except FileExistsError as error:
            raise BridgeError(f"tape {path}: File exists; another run has it, or remove it") from error
        except OSError as error:
            raise no_room(path.parent, size, f"tape {path}", error) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
                os.unlink(making)

    @classmethod
    def open(cls, path: Path) -> "TapeRing":
        """Read a ring from its oldest record on. Raises `BridgeError` where there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BridgeError(f"tape {path}: cannot be opened ({error.strerror})") from error
        head = os.pread(descriptor, _HEAD.size, 0)
        size = os.fstat(descriptor).st_size
        whole = len(head) == _HEAD.size and head[:8] == MAGIC
        if not whole or _HEAD.unpack(head)[3] != size - _HEAD_BYTES:
            os.close(descriptor)
            raise BridgeError(f"tape {path}: not a tape, or not a whole one")
        return cls(path, descriptor, size, write=False)

    def add(self, record: Record) -> None:
        """Keep a record in place of the oldest ones. Never raises: what can't be kept is counted."""
        try:
            frame = encode_record(record)
        except BridgeError:
            self._words[_UNRECORDED] += 1
            return
        data = _RECORD.pack(len(frame), zlib.crc32(frame)) + frame
        data += bytes(_padded(len(data)) - len(data))
        if len(data) > self._capacity // 2:
            self._words[_UNRECORDED] += 1
            return
        written = int(self._words[_WRITTEN])
        self._make_room(written + len(data) - self._capacity)
        self._put(written, data)
        self._fence()
        self._words[_WRITTEN] = written + len(data)

    def _make_room(self, until: int) -> None:
        """Give up the oldest records up to a position."""
        oldest = int(self._words[_OLDEST])
        if oldest >= until:
            return
        while oldest < until:
            oldest += self._size_at(oldest)
        self._words[_OLDEST] = oldest
        self._fence()

    def _size_at(self, at: int) -> int:
        length, _ = _RECORD.unpack(self._get(at, _RECORD.size))
        return _padded(_RECORD.size + int(length))

    def _put(self, at: int, data: bytes) -> None:
        start = at % self._capacity
        first = min(len(data), self._capacity - start)
        self._raw[_HEAD_BYTES + start : _HEAD_BYTES + start + first] = data[:first]
        if first < len(data):
            self._raw[_HEAD_BYTES : _HEAD_BYTES + len(data) - first] = data[first:]

    def read(self) -> Iterator[Record]:
        """Records since the last read, oldest first."""
        while self._position < int(self._words[_WRITTEN]):
            self._fence()
            length, crc = _RECORD.unpack(self._get(self._position, _RECORD.size))
            frame = self._get(self._position + _RECORD.size, min(length, self._capacity))
            self._fence()
            oldest = int(self._words[_OLDEST])
            if oldest > self._position:  # what was copied may have been written over meanwhile
                self.lost_bytes += oldest - self._position
                self._position = oldest
                continue
            if zlib.crc32(frame) != crc:
                raise BridgeError(f"tape {self._path}: the record at byte {self._position} is damaged")
            self._position += _padded(_RECORD.size + length)
            yield decode_record(frame)

    @property
    def unrecorded(self) -> int:
        """Records that its writer could not encode, or that were too large."""
        return int(self._words[_UNRECORDED])

    @property
    def unread_bytes(self) -> int:
        """Of a reader: written and not read yet."""
        return int(self._words[_WRITTEN]) - self._position

    def _get(self, at: int, count: int) -> bytes:
        start = at % self._capacity
        first = min(count, self._capacity - start)
        data = bytes(self._raw[_HEAD_BYTES + start : _HEAD_BYTES + start + first])
        return data + bytes(self._raw[_HEAD_BYTES : _HEAD_BYTES + count - first])

    def close(self) -> None:
        """Let go of the file, which stays. Idempotent."""
        if self._descriptor >= 0:
            self._words.release()
            self._raw.release()
            self._map.close()
            os.close(self._descriptor)
            self._descriptor = -1


def _padded(count: int) -> int:
    return count + -count % 8
