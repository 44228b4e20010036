"""A file system with little room, that can be given more."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


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
    """Mount one. Where that is not allowed, the test is skipped, unless it can do with a bound on files."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={room_kb}k", "tmpfs", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError):
        if not or_bound:
            pytest.skip("mounting a file system needs root")
        yield SmallDisk(folder=folder, is_mounted=False, room_kb=room_kb)
        return
    try:
        yield SmallDisk(folder=folder, is_mounted=True, room_kb=room_kb)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
