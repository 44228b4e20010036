"""One log from what several processes wrote, in the order of time."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from typing import Any

from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_STAMPS = {"subgoal": "emitted_stamp_s", "chunk": "start_stamp_s", "command": "stamp_s"}
"""What tells when a line belongs: a subgoal when it was ready, a chunk when its observation was made."""


@contextmanager
def log_folder(log: Path | None) -> Iterator[Path | None]:
    """A folder beside the log for its parts; None where there is no log.

    It is removed afterwards. Where the run or the putting together fails it stays, as `LOG.parts`, if there is anything
    in it.
    """
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{log.name}.", dir=log.parent))
    try:
        yield folder
    except BaseException:
        _keep(folder, log)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, log: Path) -> None:
    """Give the parts of a log that is not whole a name that shows; those of an earlier failure go."""
    kept = log.with_name(f"{log.name}.parts")
    if not any(part.stat().st_size for part in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(kept, ignore_errors=True)
    folder.rename(kept)
    _LOGGER.warning("the log is not whole; what had been noted is kept in %s", kept)


def merge_logs(folder: Path, log: Path, header: Mapping[str, Any]) -> None:
    """Write the header and all lines of the parts, by time. Raises `OSError`, and the parts are kept beside the log."""
    with RunLog(log) as writer:
        writer.header(**header)
    streams = [_stamped_lines(part) for part in sorted(folder.glob("*.jsonl"))]
    try:
        with log.open("a", encoding="utf-8") as out:
            out.writelines(line for _, line in merge(*streams, key=lambda stamped: stamped[0]))
    except OSError:
        _keep(folder, log)
        raise


def _stamped_lines(path: Path) -> Iterator[tuple[float, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # Its process was killed while it wrote.
            fields = json.loads(line)
            yield float(fields.get(_STAMPS.get(fields["kind"], "stamp_s")) or 0.0), line
