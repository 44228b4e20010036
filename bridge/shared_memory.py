"""Where shared memory is, how much of it there is, and what to do where there is too little."""

import errno
import os
import shutil
from pathlib import Path

from dualsys.errors import BridgeError

SHARED_MEMORY = Path("/dev/shm")
NO_FOLDER = Path("/")
"""Of a run that has no folder, or none yet."""
MOUNT = "mount -t tmpfs -o size=1g tmpfs /dev/shm (in Docker: --shm-size=1g)"
ENLARGE = "mount -o remount,size=1g {mount} (in Docker: --shm-size=1g)"


def require_folder(folder: Path) -> None:
    """Raises `BridgeError` where a folder for boxes and tapes was never named, is missing or cannot be written."""
    if folder == NO_FOLDER:
        raise BridgeError(
            "this run has no folder for its mailboxes and its tape: make one (`RunFolder`) and set SystemConfig.folder "
            "to its path; threads need none while tape_bytes is 0"
        )
    if not folder.is_dir():
        fix = MOUNT if folder == SHARED_MEMORY else f"make it, or use a folder under {SHARED_MEMORY}"
        raise BridgeError(f"{folder} is missing: mailboxes between processes need shared memory mounted there; {fix}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BridgeError(
            f"{folder} is not writable for user {os.geteuid()}: mailboxes between processes need shared memory there; "
            f"mount it with mode=1777, or use another folder"
        )


def require_room(folder: Path, nbytes: int, what: str) -> None:
    """Raises `BridgeError` where a folder's file system has less room than asked for."""
    require_folder(folder)
    if shutil.disk_usage(folder).free < nbytes:
        raise no_room(folder, nbytes, what)


def no_room(folder: Path, nbytes: int, what: str, error: OSError | None = None) -> BridgeError:
    """The error: what was asked, what there is, what to do."""
    reason = os.strerror(errno.ENOSPC) if error is None else error.strerror
    usage, mount = shutil.disk_usage(folder), mount_of(folder)
    return BridgeError(
        f"{what}: cannot allocate {mebibytes(nbytes)} ({reason}); {mount} has {mebibytes(usage.free)} free of "
        f"{mebibytes(usage.total)}. Remove what others left there, or give it more: {ENLARGE.format(mount=mount)}"
    )


def mount_of(folder: Path) -> Path:
    """Where the file system of a folder is mounted."""
    path = folder.resolve()
    while not path.is_mount():
        path = path.parent
    return path


def mebibytes(nbytes: int) -> str:
    """A size, readable."""
    return f"{nbytes / 2**20:,.1f} MiB"
