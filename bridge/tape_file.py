"""A tape as an MCAP file, which Foxglove and every MCAP tool open: a topic a kind of record, JSON with a schema.

Floats are written so that they come back to the bit; what JSON has no word for (`NaN`, infinities) is written as text.
The head stands in the file's metadata. A file that was cut off is read as far as it goes.
"""

import json
import logging
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import chain, pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, final

import numpy as np

from dualsys.bridge.tape_forms import NESTED, ROWS, TEXTS, VECTORS, as_number, kept_fields
from dualsys.errors import BridgeError, TapeError
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    EmergencyReset,
    EmergencyStop,
    Fault,
    KeptClear,
    Observed,
    Offered,
    Retry,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.messages import Command
from dualsys.tape import Record, TapeHead

_LOGGER = logging.getLogger(__name__)

TOPICS: dict[type, str] = {
    Started: "/started",
    Observed: "/observed",
    SubgoalArrived: "/subgoal",
    ChunkArrived: "/chunk",
    Offered: "/offered",
    Tick: "/tick",
    Fault: "/fault",
    EmergencyStop: "/emergency_stop",
    EmergencyReset: "/emergency_reset",
    ChunkRequest: "/request",
    Retry: "/retry",
    KeptClear: "/kept_clear",
    Command: "/command",
}
_KINDS: dict[str, Any] = {topic: kind for kind, topic in TOPICS.items()}
_METADATA = "dualsys"


@final
class TapeWriter:
    """Writes records as they come. A context manager; without its end the file lacks an index, and is readable still.

    Args:
        path: The file; it is made anew.
        head: What a replay needs.
        part: Which part of a tape in several files this is, from 0.
    """

    def __init__(self, path: Path, head: TapeHead, *, part: int = 0) -> None:
        from mcap.writer import CompressionType, Writer

        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise TapeError(f"tape {path} cannot be written: {error.strerror}") from error
        self._writer = Writer(self._file, chunk_size=64 * 2**10, compression=CompressionType.ZSTD)
        self._writer.start(profile="", library="dualsys")
        self._writer.add_metadata(_METADATA, {"head": head.model_dump_json(), "part": str(part)})
        self._channels = {kind: self._channel(kind, topic) for kind, topic in TOPICS.items()}
        self._stamp_ns = 0
        self.records = 0

    def _channel(self, kind: type, topic: str) -> int:
        schema = {"type": "object", "title": kind.__name__, "properties": {f.name: {} for f in fields(kind)}}
        number = self._writer.register_schema(kind.__name__, "jsonschema", json.dumps(schema).encode())
        return int(self._writer.register_channel(topic, "json", number))

    def add(self, record: Record) -> None:
        """Write a record. Its time is its own stamp, or that of the one before where it has none or an older one.

        Raises `BridgeError` for what is no record, and `OSError` where there is no room.
        """
        channel = self._channels.get(type(record))
        if channel is None:
            raise BridgeError(f"{type(record).__name__} is no record of a tape")
        stamp_s = stamp_of(record)
        if np.isfinite(stamp_s) and abs(stamp_s) < 1e9:
            self._stamp_ns = max(self._stamp_ns, round(stamp_s * 1e9))
        data = json.dumps(_plain(kept_fields(record))).encode()
        self._writer.add_message(
            channel,
            log_time=self._stamp_ns,
            publish_time=self._stamp_ns,
            data=data,
            sequence=self.records,
        )
        self.records += 1

    @property
    def size_bytes(self) -> int:
        """What has reached the file; up to 64 KB of records still wait to be packed."""
        return 0 if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Write the index. Idempotent."""
        if not self._file.closed:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_tape(path: Path) -> tuple[TapeHead, list[Record]]:
    """Head and records of a file, in the order they were written.

    Raises:
        TapeError: where there is none, it is no tape, or it holds what no tape does.
    """
    head, _, records = _read(path)
    return head, records


def read_parts(paths: Sequence[Path]) -> tuple[TapeHead, Iterator[Record]]:
    """Head and records of a tape in one file or several, in the order they were written; one part is held at a time.

    Raises:
        TapeError: as `read_tape`; of parts but the first, and of any that does not go on from the one before, while
            the records are drawn.
    """
    head, part, records = _read(paths[0])
    return head, chain(records, _further(paths, head, part))


def _further(paths: Sequence[Path], head: TapeHead, part: int) -> Iterator[Record]:
    for before, path in pairwise(paths):
        found, number, records = _read(path)
        part += 1
        if found != head or number != part:
            raise TapeError(
                f"{path} does not go on from {before}: it is part {number}"
                + (f", not {part}" if found == head else " of another run")
            )
        yield from records


def _read(path: Path) -> tuple[TapeHead, int, list[Record]]:
    """Head, number and records of one file."""
    if not path.is_file():
        raise TapeError(f"tape {path} does not exist; `dualsys run --record FILE` makes one")
    with path.open("rb") as file:
        told, messages = _messages(file, path)
    if not told:
        raise TapeError(f"{path} is an MCAP file, but none of dualsys: it has no metadata of that name")
    numbered = sorted(messages, key=lambda message: message[0])
    head = TapeHead.parse(told.get("head", ""), str(path))
    return head, int(told.get("part", "0")), [_parse(topic, data, path) for _, topic, data in numbered]


def _messages(file: IO[bytes], path: Path) -> tuple[dict[str, str], list[tuple[int, str, bytes]]]:
    """Metadata, and number, topic and text of every message up to the end, or up to where the file was cut off."""
    from mcap.exceptions import McapError
    from mcap.records import Channel, Message, Metadata
    from mcap.stream_reader import StreamReader
    from zstandard import ZstdError

    told: dict[str, str] = {}
    messages: list[tuple[int, str, bytes]] = []
    topics: dict[int, str] = {}
    try:
        for record in StreamReader(file, validate_crcs=True).records:
            if isinstance(record, Metadata) and record.name == _METADATA:
                told = dict(record.metadata)
            elif isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Message):
                messages.append((record.sequence, topics[record.channel_id], record.data))
    except (ValueError, KeyError, ZstdError) as error:  # a checksum, a text, a channel, packed data that is none
        raise TapeError(f"{path} is damaged: {error}. Copy it again") from error
    except (McapError, EOFError, struct.error) as error:  # the last for a file that ends in the midst of a length
        if not told:
            raise TapeError(f"{path} is not a tape: {str(error) or 'it ends before it has begun'}") from error
        _LOGGER.warning("%s was cut off: it has %d messages and no end", path, len(messages))
    return told, messages


def stamp_of(record: Record) -> float:
    """When a record was made, in seconds of the robot's clock; NaN for one that doesn't say."""
    stamp_s: Any = record.now_s if hasattr(record, "now_s") else getattr(record, "stamp_s", float("nan"))
    return as_number(stamp_s)


def _plain(value: Any) -> Any:
    """What JSON has words for; not-a-number and infinities as texts."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def _parse(topic: str, data: bytes, path: Path) -> Record:
    kind = _KINDS.get(topic)
    if kind is None:
        raise TapeError(f"{path} has a topic {topic!r}; a tape has {', '.join(_KINDS)}")
    try:
        record: Record = _build(kind, json.loads(data))
    except (TypeError, ValueError, KeyError) as error:
        raise TapeError(f"{path}: a message of {topic} cannot be read: {error}") from error
    return record


def _build(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**{name: _value(name, value) for name, value in values.items()})


def _value(name: str, value: Any) -> Any:
    if name in NESTED and isinstance(value, dict):
        return _build(NESTED[name], value)
    if name in VECTORS or name == ROWS:
        return np.array(_numbers(value), dtype=np.float64)
    if name == "limited":
        return tuple(value)
    return float(value) if isinstance(value, str) and name not in TEXTS else value


def _numbers(value: Any) -> Any:
    return [_numbers(each) for each in value] if isinstance(value, list) else float(value)
