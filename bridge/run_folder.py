"""A run's folder in shared memory: locked while its run lives, removed with it; those of dead runs are cleaned up."""

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self, final

from dualsys.errors import BridgeError

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "dualsys."
_OWNER = "owner"
_GRACE_S = 60.0
"""A folder without an owner's file that is younger than this is being made."""


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
        """Make the folder. Raises `BridgeError` where shared memory is missing or the name is taken."""
        if not self._root.is_dir() or not os.access(self._root, os.W_OK):
            raise BridgeError(
                f"{self._root} is missing or not writable: processes mode needs shared memory mounted there"
            )
        remove_stale_folders(self._root)
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError as error:
            raise BridgeError(f"{self.path} exists: a run of that name is alive; use another name") from error
        # Locked before it has its name: an owner's file that is found unlocked is a dead run's, at any moment.
        making = self.path / f".{_OWNER}"
        self._descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, str(os.getpid()).encode())
        making.rename(self.path / _OWNER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def remove_stale_folders(root: Path = SHARED_MEMORY) -> list[Path]:
    """Remove folders of our own whose runs have ended without doing so (killed); those removed."""
    removed = [folder for folder in root.glob(f"{PREFIX}*") if _is_stale(folder)]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _is_stale(folder: Path) -> bool:
    try:
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
            return False
        owner = folder / _OWNER
        if not owner.exists():
            return time.time() - folder.stat().st_mtime > _GRACE_S
        descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # The kernel frees the lock when its owner ends, however it ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
