"""One recording a folder at a time: two of them would take each other's half-written files for damaged ones."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from dualsys.data import layout
from dualsys.data.info import DatasetInfo
from dualsys.data.writer import DatasetWriter
from dualsys.errors import DatasetError
from dualsys.files import written_or_said

_LOGGER = logging.getLogger(__name__)
_NAME = "lock"
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def recording_alone(writer: DatasetWriter) -> Iterator[None]:
    """A block in which no other process records into the writer's folder.

    The kernel holds the lock for this process and lets it go when the process ends, however it does. Nothing is left
    of the lock, nor of folders that hold nothing else.

    Raises:
        DatasetError: another process records there, or has finished a recording since the writer was opened.
        CannotWrite: the folder is read-only, or the disk full.
    """
    existed = writer.root.is_dir()
    with written_or_said(writer.root):
        writer.staging.mkdir(parents=True, exist_ok=True)
        file = _locked(writer)
    try:
        _require_unchanged(writer)
        yield
    finally:
        # While it is still held: who opens it afterwards makes a new one, who has opened it already looks again.
        (writer.staging / _NAME).unlink(missing_ok=True)
        file.close()
        with suppress(OSError):  # they hold something
            writer.staging.rmdir()
            if not existed:
                writer.root.rmdir()


def _locked(writer: DatasetWriter) -> IO[str]:
    path = writer.staging / _NAME
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise DatasetError(
                f"{writer.root} is being recorded into by another process ({holder}); wait for its end, or give "
                "another folder"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                file.close()
                raise
            _LOGGER.warning(
                "%s: no locks on this file system (%s): see to it that nobody else records there", path, error
            )
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file
        file.close()  # its holder has just let go of it, and it is no longer there


def _require_unchanged(writer: DatasetWriter) -> None:
    now = DatasetInfo.read(writer.root) if (writer.root / layout.INFO_PATH).is_file() else None
    if now != writer.info:
        raise DatasetError(f"{writer.root} has been finished by another process meanwhile; give the command again")
