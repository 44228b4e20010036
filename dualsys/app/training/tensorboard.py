"""The curve once more, as TensorBoard reads it, where `tensorboardX` is installed (the extra `train`)."""

import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dualsys.files import written_or_said

HINT = "no TensorBoard log: pip install 'dualsys[train]' writes one; the curve is in log.jsonl and report.html as well"


def is_installed() -> bool:
    """Whether events can be written."""
    return find_spec("tensorboardX") is not None


class TensorBoardLog:
    """An event file of this start; where one before it went further, TensorBoard drops those steps.

    Written in this thread: tensorboardX's own writer hands events to another, which a full disk ends without a word.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder = folder
        with written_or_said(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(folder / "events"))
        self._write(first_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, record: dict[str, Any]) -> None:
        """A line of the curve: one scalar for each of its figures."""
        from tensorboardX.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=_tag(key), simple_value=float(value)) for key, value in record.items() if key != "step"
        ]
        self._write(record["step"], summary=Summary(value=values))

    def close(self) -> None:
        """Close the file. Every event was flushed when it was added, so what fails here has been said there."""
        with suppress(OSError):
            self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with written_or_said(self._folder):
            self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
            self._writer.flush()


def _tag(key: str) -> str:
    """Training and validation of one figure stand together: `flow/training`, `flow/validation`."""
    name = key.removeprefix("validation_")
    return f"{name}/{'training' if name == key else 'validation'}"
