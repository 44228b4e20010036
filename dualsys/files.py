"""Files that appear whole or not at all, and one line for what cannot be written."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dualsys.errors import CannotWrite, DatasetError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)
"""None: numpy says of an array that was cut short how much of it was written, and not why."""


@contextmanager
def written_or_said(path: Path) -> Iterator[None]:
    """A block that adds to the file `path`, or writes into the folder `path`.

    Raises `CannotWrite` saying why it could not, such as on a full disk. Other errors pass.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        cause = _refusal(error)
        if cause is None:
            raise
        reason = cause.strerror or str(cause)
        raise CannotWrite(
            f"cannot write {path}: {reason}. {_mend(cause, path)}; nothing that was there is lost"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; what is written there takes its place when the block ends without an error.

    Raises `CannotWrite` where it cannot be written, such as on a full disk; what was at `path` is then still there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    with written_or_said(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _refusal(error: BaseException | None) -> OSError | None:
    """The operating system's refusal behind an error; None where there is none."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, RuntimeError):
        # torch.save ends with an error of its own, raised while the file's was handled.
        return _refusal(error.__context__)
    if isinstance(error, SafetensorError) and (found := re.search(r"os error (\d+)", str(error))):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return None


def _mend(error: OSError, path: Path) -> str:
    if error.errno not in _NO_ROOM:
        return "Mend that, or write to another folder"
    place = next(each for each in (path, *path.absolute().parents) if each.exists())
    return f"Free some room ({shutil.disk_usage(place).free / 1e6:.1f} MB are left), or write to another disk"


def write_json(path: Path, value: Any, *, sort_keys: bool = False) -> None:
    """Write JSON atomically; NaN is refused, since strict readers refuse it too."""
    with replacing(path) as partial:
        text = json.dumps(value, indent=2, allow_nan=False, sort_keys=sort_keys)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON of a dataset. Raises `DatasetError` naming the file where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); copy or record the dataset again") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}); copy or record the dataset again") from error
