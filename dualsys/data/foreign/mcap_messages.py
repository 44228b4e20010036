"""Messages of an MCAP file, decoded: JSON, and ROS 2's CDR."""

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dualsys.errors import DatasetError, DualsysError, ExtraMissing

Decode = Callable[[bytes], Any]


class Message(NamedTuple):
    """One of them."""

    topic: str
    stamp_s: float
    """When it was logged."""
    content: Any
    """A dictionary, or an object with the fields of a ROS message."""


def schemas_of(path: Path) -> dict[str, str]:
    """Schema's name of each topic; empty for JSON without one. Raises `DatasetError` where the file is damaged."""
    with _reading(path) as reader:
        summary = reader.get_summary()
        if summary is None:
            raise DatasetError(
                f"{path} has no summary: its end was not written. Mend it with the MCAP tool: mcap recover"
            )
        return {
            channel.topic: summary.schemas[channel.schema_id].name if channel.schema_id in summary.schemas else ""
            for channel in summary.channels.values()
        }


def messages_of(
    path: Path, topics: Sequence[str], start_s: float | None = None, end_s: float | None = None
) -> Iterator[Message]:
    """Messages of some topics in the order of their stamps, from `start_s` on and before `end_s`.

    Raises `DatasetError` where one is damaged, or encoded in another way; `ExtraMissing` without ROS 2's decoder.
    """
    decoders: dict[int, Decode] = {}
    bounds = {"starting_at": _nanoseconds(start_s), "ending_before": _nanoseconds(end_s)}
    with _reading(path) as reader:
        for schema, channel, message in reader.iter_messages(topics=list(topics), **bounds):
            if channel.id not in decoders:
                decoders[channel.id] = _decoder(channel, schema, path)
            try:
                content = decoders[channel.id](message.data)
            except Exception as error:  # decoders of others, each with errors of its own
                raise DatasetError(
                    f"{path}: a message of {channel.topic} at {message.log_time / 1e9:.3f} s is damaged ({error}); "
                    "record or copy it again"
                ) from error
            yield Message(channel.topic, message.log_time / 1e9, content)


def field_of(content: Any, name: str) -> Any:
    """A field by its path, `pose.position`. Raises `KeyError` with the fields that there are."""
    for part in name.split("."):
        inside = content if isinstance(content, dict) else {key: getattr(content, key) for key in _slots(content)}
        if part not in inside:
            raise KeyError(", ".join(sorted(inside)) or "none")
        content = inside[part]
    return content


def _slots(content: Any) -> list[str]:
    return [name for name in getattr(content, "__slots__", ()) if not name.startswith("_")]


def _nanoseconds(stamp_s: float | None) -> int | None:
    return None if stamp_s is None else round(stamp_s * 1e9)


def _decoder(channel: Any, schema: Any, path: Path) -> Decode:
    if channel.message_encoding == "json":
        return json.loads
    if channel.message_encoding == "cdr":
        try:
            factory = importlib.import_module("mcap_ros2.decoder").DecoderFactory()
        except ImportError as error:
            raise ExtraMissing(
                "reading ROS 2's messages needs mcap-ros2-support: pip install 'dualsys[import]'"
            ) from error
        decode = factory.decoder_for("cdr", schema)
        if decode is not None:
            made: Decode = decode
            return made
    raise DatasetError(
        f"{path}: {channel.topic} is encoded as {channel.message_encoding!r}; dualsys reads 'json' and 'cdr' (ROS 2)"
    )


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A reader; what it raises says of which file."""
    from mcap.reader import make_reader

    try:
        with path.open("rb") as file:
            yield make_reader(file, validate_crcs=True)
    except DualsysError:
        raise
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); copy it again") from error
    except Exception as error:  # the reader's own, and those of whoever unpacks its chunks
        raise DatasetError(f"{path} is damaged ({error!r}); copy it again, or mend it: mcap recover") from error
