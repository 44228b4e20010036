"""The file of a shared mailbox: how it is laid out, made, checked, and locked by its writer.

    file   = header (128 B), then `slots` times [slot header (64 B), payload (capacity, rounded up to 64 B)]
    header = magic, layout version, slots, capacity, epoch, writer pid, writer start time, heartbeat, newest ticket

Why a file of our own: `multiprocessing.shared_memory` unlinks a segment when any process that attached to it exits
(CPython 3.11), and the file's lock tells for certain whether its writer is alive.
"""

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dualsys.bridge.shared_memory import no_room, require_folder
from dualsys.errors import BridgeError

MAGIC = b"dualsysM"
LAYOUT_VERSION = 1
DEFAULT_SLOTS = 4
HEADER_BYTES = 128
SLOT_HEADER_BYTES = 64
# Eight-byte words of the header that change, as indices into a view of 64-bit integers or floats.
EPOCH, WRITER_PID, WRITER_START, HEARTBEAT, NEWEST = 3, 4, 5, 6, 7

_FIXED = struct.Struct("=8sIIQ")  # magic, layout version, slots, capacity
_LOCK_POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxLayout:
    """How a box's file is divided."""

    slots: int
    capacity: int
    """Bytes of the largest value."""

    @property
    def stride(self) -> int:
        """Bytes from one slot to the next."""
        return SLOT_HEADER_BYTES + -(-self.capacity // 64) * 64

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return HEADER_BYTES + self.slots * self.stride

    def offset(self, ticket: int) -> int:
        """Where the slot of a ticket begins."""
        return HEADER_BYTES + (ticket % self.slots) * self.stride


def create_box_file(path: Path, layout: BoxLayout) -> None:
    """Lay out an empty box: under another name first, so that nobody meets a half-made one.

    Raises:
        BridgeError: for a layout that can't be, a name that is taken, a folder that is missing, memory that is full.
    """
    if layout.capacity < 1 or layout.slots < 2:
        raise BridgeError(
            f"mailbox {path}: needs a capacity of >= 1 byte and >= 2 slots, got {layout.capacity} and {layout.slots}"
        )
    require_folder(path.parent)
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise no_room(path.parent, layout.size, f"mailbox {path}", error) from error
    try:
        # Allocated now: a sparse file on a full tmpfs would kill a writer with SIGBUS later.
        os.posix_fallocate(descriptor, 0, layout.size)
        os.pwrite(descriptor, _FIXED.pack(MAGIC, LAYOUT_VERSION, layout.slots, layout.capacity), 0)
        # A link, not a rename: a box that is there, and in use, is never replaced.
        os.link(making, path)
    except FileExistsError as error:
        raise BridgeError(f"mailbox {path}: File exists; open it as its writer or reader, or remove it") from error
    except OSError as error:
        raise no_room(path.parent, layout.size, f"mailbox {path}", error) from error
    finally:
        os.close(descriptor)
        os.unlink(making)


class Pause(Protocol):
    """Waits between two looks; a `threading.Event` is one."""

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait for so long; whether to look no more."""
        ...


def open_box_file(path: Path, *, write: bool, wait: Pause | None = None) -> tuple[int, BoxLayout]:
    """Open a box's file, checked; as its writer, locked, once it is free where there is an event to `wait` until.

    Returns:
        Its descriptor, which holds the lock until it is closed, and its layout.

    Raises:
        BridgeError: where there is no such box, it isn't one of ours, or its writer is alive.
    """
    try:
        descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise BridgeError(f"mailbox {path}: cannot be opened ({error.strerror}); was it created?") from error
    try:
        layout = _checked_layout(path, descriptor)
        if write:
            _lock(path, descriptor, wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, layout


def process_start_ticks(pid: int) -> int:
    """Start time of a process in clock ticks since boot; with the pid it names a process for good. 0: unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _checked_layout(path: Path, descriptor: int) -> BoxLayout:
    """Layout of the box's file. Raises `BridgeError` for a file that isn't one of ours."""
    head = os.pread(descriptor, _FIXED.size, 0)
    if len(head) < _FIXED.size or head[:8] != MAGIC:
        raise BridgeError(f"{path} is not a dualsys mailbox")
    _, version, slots, capacity = _FIXED.unpack(head)
    if version != LAYOUT_VERSION:
        raise BridgeError(f"mailbox {path} has layout {version}, this dualsys reads {LAYOUT_VERSION}: use one version")
    layout, size = BoxLayout(slots=slots, capacity=capacity), os.fstat(descriptor).st_size
    if slots < 2 or capacity < 1 or size != layout.size:
        raise BridgeError(f"mailbox {path} has {size} bytes, its header promises {layout.size}")
    return layout


def _lock(path: Path, descriptor: int, wait: Pause | None) -> None:
    """Become the only writer. The kernel frees the lock when a writer dies, however it dies."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if wait is None or wait.wait(_LOCK_POLL_S):
                pid = struct.unpack("=Q", os.pread(descriptor, 8, 8 * WRITER_PID))[0]
                message = f"mailbox {path}: its writer (process {pid}) is alive; a box has one writer"
                raise BridgeError(message) from error
        else:
            return
