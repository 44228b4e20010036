"""Disks that fill up: a small file system, a bound on the size of files, a file that has no room left."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final
from unittest import SkipTest


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A mounted tmpfs; or, where none can be mounted, a folder and a bound on the size of a process's files."""

    folder: Path
    is_mounted: bool
    room_kb: int
    """At first."""

    def resize(self, kilobytes: int) -> None:
        """Give it room for so much in all."""
        if self.is_mounted:
            _mount("-o", f"remount,size={kilobytes}k", str(self.folder))

    def leave(self, free_bytes: int, largest_bytes: int = 0) -> Callable[[], None] | None:
        """Leave so much room beside what is on it; or what a process must do first, that no file outgrows the bound."""
        if not self.is_mounted:
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, largest_bytes))
        pages = sum(-(-path.stat().st_size // 4096) + 1 for path in self.folder.rglob("*"))
        self.resize(4 * pages + free_bytes // 1024)
        return None

    def make_room(self) -> None:
        """As much as at first."""
        self.resize(self.room_kb)


@contextmanager
def small_disk(folder: Path, room_kb: int, *, or_bound: bool = False) -> Iterator[SmallDisk]:
    """Mount one. Where that is not allowed the test is skipped, unless it can do with a bound on files.

    Raises:
        unittest.SkipTest: mounting needs root; pytest knows it for a skip, too.
    """
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={room_kb}k", "tmpfs", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError):
        if not or_bound:
            raise SkipTest("mounting a file system needs root") from None
        yield SmallDisk(folder=folder, is_mounted=False, room_kb=room_kb)
        return
    try:
        yield SmallDisk(folder=folder, is_mounted=True, room_kb=room_kb)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def file_size_limit(largest_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond a bound, for the length of a block: `OSError`, "File too large"."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@final
class FullFile:
    """A file for writing that has room for so many bytes or characters more: then "No space left on device".

    Args:
        file: Where it is written while there is room.
        room: How much. May be raised at any time.
    """

    def __init__(self, file: IO[Any], room: int) -> None:
        self._file = file
        self.room = room

    def write(self, data: Any) -> int:
        """Write all of it, or nothing. Raises `OSError` (ENOSPC) where it doesn't fit."""
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return int(self._file.write(data))

    def writelines(self, lines: Any) -> None:
        """Write one after the other, up to the one that doesn't fit."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the file's."""
        return getattr(self._file, name)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
