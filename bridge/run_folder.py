"""A run's folder in shared memory: locked while its run lives, removed with it; those of dead runs are cleaned up.

Whether a run lives is told by the lock on its owner's file, which the kernel frees when its process ends, however it
ends; never by a folder's age. A folder gets its name only when its owner's file is locked. Until then its name holds
the process that makes it.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, final

from dualsys.bridge.box_file import process_start_ticks
from dualsys.bridge.shared_memory import SHARED_MEMORY as SHARED_MEMORY
from dualsys.bridge.shared_memory import no_room, require_folder
from dualsys.bridge.unbroken import unbroken
from dualsys.errors import BridgeError

PREFIX = "dualsys."
_MAKING = f".{PREFIX}making."
_OWNER = "owner"
_OWNER_BYTES = 4096


@final
class RunFolder:
    """A context manager: the folder exists inside.

    Args:
        name: Last part of the folder's name; unique among living runs.
        root: Where folders are made.
    """

    def __init__(self, name: str, *, root: Path = SHARED_MEMORY) -> None:
        self.path = root / f"{PREFIX}{name}"
        self._root = root
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Make the folder. Raises `BridgeError` where shared memory is missing or full, or the name is taken."""
        require_folder(self._root)
        remove_stale_folders(self._root)
        pid = os.getpid()
        making = self._root / f"{_MAKING}{pid}.{process_start_ticks(pid)}.{self.path.name}"
        try:
            making.mkdir(mode=0o700)
            self._descriptor = os.open(making / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            os.write(self._descriptor, str(pid).encode())
            # Fails where a folder of that name has anything in it, and every living run's has.
            making.rename(self.path)
        except OSError as error:
            self._let_go(making)
            if self.path.exists():
                raise BridgeError(f"{self.path} exists: a run of that name is alive; use another name") from error
            raise no_room(self._root, _OWNER_BYTES, f"folder {self.path}", error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder and all that is in it."""
        with unbroken():
            self._let_go(self.path)

    def _let_go(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftFolder:
    """What a run has in shared memory."""

    path: Path
    nbytes: int
    alive: bool
    """Whether its owner still runs."""


def run_folders(root: Path = SHARED_MEMORY) -> list[LeftFolder]:
    """Folders of this user's runs, living and dead."""
    folders = [*root.glob(f"{PREFIX}*"), *root.glob(f"{_MAKING}*")]
    return [
        LeftFolder(path=folder, nbytes=_size(folder), alive=not _is_stale(folder))
        for folder in sorted(folders)
        if _is_ours(folder)
    ]


def remove_stale_folders(root: Path = SHARED_MEMORY) -> list[Path]:
    """Remove folders of our own whose runs have ended without doing so (killed); those removed."""
    removed = [folder.path for folder in run_folders(root) if not folder.alive]
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)
    return removed


def _is_ours(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        return not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.geteuid()
    return False


def _is_stale(folder: Path) -> bool:
    if folder.name.startswith(_MAKING) and _maker_lives(folder):
        return False
    try:
        descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Removed meanwhile by its own run, or what is left of a folder whose removal was cut off.
        return folder.exists()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _maker_lives(folder: Path) -> bool:
    pid, _, rest = folder.name.removeprefix(_MAKING).partition(".")
    start = rest.partition(".")[0]
    return pid.isdecimal() and start.isdecimal() and 0 < int(start) == process_start_ticks(int(pid))


def _size(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            yield path.lstat().st_size
