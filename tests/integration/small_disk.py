"""A file system with little room, that can be given more."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A mounted tmpfs."""

    root: Path

    def resize(self, kilobytes: int) -> None:
        """Give it room for so much in all."""
        _mount("-o", f"remount,size={kilobytes}k", str(self.root))

    def leave(self, kilobytes: int) -> None:
        """Leave so much room beside what is on it."""
        pages = sum(-(-path.stat().st_size // 4096) + 1 for path in self.root.rglob("*"))
        self.resize(4 * pages + kilobytes)


@contextmanager
def small_disk(root: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mount one; skips the test where that is not allowed."""
    root.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(root))
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("mounting a file system needs root")
    try:
        yield SmallDisk(root=root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
