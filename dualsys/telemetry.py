"""The run log: JSON lines in which every command names its chunk, its subgoal, their ages and what was limited.

    {"kind": "header", ...}                                          what was run: config, versions
    {"kind": "subgoal", "sequence": 3, ..., "tokens": ...}           what the planner said
    {"kind": "chunk", "sequence": 7, "subgoal_sequence": 3, ...}     what the actor made of it
    {"kind": "command", "stamp_s": 1.2, "chunk_sequence": 7, ...}    what was sent, and why

Floats are written with all their digits, so two runs can be compared byte for byte, model outputs included. A number
that is infinite (the age of what never came) or not a number is written as null.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final

import numpy as np

from dualsys.errors import ConfigError, DatasetError
from dualsys.messages import ActionChunk, Command, LatentSubgoal

_LOGGER = logging.getLogger(__name__)

FORMAT = 1
"""Version of the log's lines; stands in the header."""

Arrays = Literal["full", "digest"]
"""How tokens and rows are written: all values, or the SHA-256 of their bytes, shape and type."""


@final
class RunLog:
    """Writes a log, a bounded number of lines at a time. A context manager; `close` writes what is left.

    Not for a real-time tick: encoding takes tens of microseconds. There `dualsys.recorder.CommandRecorder` remembers,
    and its commands are written afterwards or by another thread.

    What is logged goes on where the log can't (a full disk): that is told once, and further lines are counted.

    Args:
        path: File to write; an existing one is replaced, missing folders are made.
        arrays: How model outputs are written.
        buffered_lines: Lines kept before they are written.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, arrays: Arrays = "full", buffered_lines: int = 256) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the run log {path}: {error.strerror}. Choose another place.") from error
        self._arrays = arrays
        self._limit = max(buffered_lines, 1)
        self._lines: list[str] = []
        self.lost_lines = 0
        """Lines that could not be written."""

    def header(self, **fields: Any) -> None:
        """First line: what was run. Values are anything JSON can hold, paths and arrays too."""
        self._write({"kind": "header", "format": FORMAT, **fields})

    def subgoal(self, subgoal: LatentSubgoal, **stamps: float) -> None:
        """A subgoal, when it could first be used; on the wall clock with `began_stamp_s`, when it was begun."""
        fields = {name: getattr(subgoal, name) for name in _SUBGOAL_FIELDS}
        arrays = {name: self._array(getattr(subgoal, name)) for name in ("tokens", "mask", "keys", "values")}
        self._write({"kind": "subgoal", **fields, **stamps, **arrays})

    def chunk(self, chunk: ActionChunk, **stamps: float) -> None:
        """A chunk, when it could first be used; on the wall clock with `began_stamp_s` and `ready_stamp_s`."""
        fields = {name: getattr(chunk, name) for name in _CHUNK_FIELDS}
        self._write({"kind": "chunk", **fields, **stamps, "rows": self._array(chunk.rows)})

    def command(self, command: Command) -> None:
        """A command as it was sent. Its target is always written in full."""
        fields = {name: getattr(command, name) for name in _COMMAND_FIELDS}
        self._write({"kind": "command", **fields, "target": command.target})

    def event(self, kind: str, **fields: Any) -> None:
        """Anything else: a restart, a fault, the counters at the end."""
        self._write({"kind": kind, **fields})

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        if self._lines and not self._file.closed:
            try:
                self._file.writelines(self._lines)
                self._file.flush()
            except OSError as error:
                self._give_up(error)
        self.lost_lines += len(self._lines) if self._file.closed else 0
        self._lines.clear()

    def close(self) -> None:
        """Write what is left. Idempotent."""
        self.flush()
        self._file.close()

    def _give_up(self, error: OSError) -> None:
        _LOGGER.warning("the log %s cannot be written any more: %s", self._file.name, error.strerror)
        with suppress(OSError):  # it still holds what it could not write, and says so again
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, fields: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(_plain(fields), allow_nan=False) + "\n")
        if len(self._lines) >= self._limit:
            self.flush()

    def _array(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or self._arrays == "full":
            return value
        return digest(value)


_SUBGOAL_FIELDS = (
    "sequence", "epoch", "producer", "observation_stamp_s", "emitted_stamp_s", "time_to_live_s", "text", "progress",
)  # fmt: skip
_CHUNK_FIELDS = (
    "sequence", "request", "start_stamp_s", "dt_s", "subgoal_sequence", "subgoal_epoch", "subgoal_age_s",
)  # fmt: skip
_COMMAND_FIELDS = (
    "stamp_s", "source", "chunk_sequence", "row", "chunk_age_s", "subgoal_sequence", "subgoal_epoch", "subgoal_age_s",
    "seam", "limited",
)  # fmt: skip


def digest(array: np.ndarray[Any, Any]) -> str:
    """`sha256:` and the hash of an array's type, shape and bytes."""
    kind = f"{array.dtype.str}{array.shape}".encode()
    return "sha256:" + hashlib.sha256(kind + np.ascontiguousarray(array).tobytes()).hexdigest()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log, in order; numbers come back to the bit.

    The end of a log whose process was killed in the midst of a line is left out.

    Raises `DatasetError` naming the line that is none.
    """
    lines = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError as error:
                if not line.endswith("\n"):
                    break
                raise DatasetError(f"{path}:{number} is no line of a run log: {error.msg}") from error
    return lines


def _plain(value: Any) -> Any:
    """Value as JSON knows it."""
    if isinstance(value, np.ndarray):
        # float32 widens to float64 without a change, so its digits identify it.
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
