"""Writes that fail in one line: a full disk must cost a training nothing that was saved before."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from dualsys.errors import CheckpointError


@contextmanager
def written_or_said(path: Path) -> Iterator[None]:
    """A block that writes what replaces the file or folder `path`. Raises `CheckpointError` saying why it did not."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch.save ends with an error of its own, raised while the file's was handled.
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, (OSError, SafetensorError)):
            raise
        reason = cause.strerror if isinstance(cause, OSError) else cause
        free_mb = shutil.disk_usage(path if path.is_dir() else path.parent).free / 1e6
        raise CheckpointError(
            f"cannot write {path}: {reason} ({free_mb:.1f} MB are free there). What was saved before is as it was: "
            "make room, and go on with --resume"
        ) from error
