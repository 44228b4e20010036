"""Files that appear whole or not at all."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualsys.errors import CannotWrite, DatasetError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; what is written there takes its place when the block ends without an error.

    Raises `CannotWrite` where it cannot be written, such as on a full disk; what was at `path` is then still there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(f"cannot write {path}: {reason}. {_mend(error)}; nothing that was there is lost") from error
    finally:
        partial.unlink(missing_ok=True)


def _mend(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some room, or write to another disk"
    return "Mend that, or write to another folder"


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, since strict readers refuse it too."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON. Raises `DatasetError` naming the file where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); copy or record the dataset again") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}); copy or record the dataset again") from error
