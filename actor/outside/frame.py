"""A frame of msgpack, whatever way arrays go into it: bounded, and believed as far as there are bytes."""

from collections.abc import Callable
from typing import Any

from dualsys.actor.outside.extras import import_msgpack
from dualsys.errors import PolicyError

MAX_BYTES = 2**26
"""Of a frame, either way: 64 MiB are twenty pictures of a megapixel."""


def packed(value: Any, from_array: Callable[[Any], Any], *, groot: bool = False) -> bytes:
    """A frame. Raises `PolicyError` for what doesn't go on a wire.

    Args:
        value: What is to be sent.
        from_array: What stands for an array; raises `TypeError` for what is none.
        groot: Which extra msgpack comes with, for the message where it is missing.
    """
    try:
        frame: bytes = import_msgpack(groot=groot).packb(value, default=from_array)
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"what is to be sent doesn't go on the wire: {error}") from error
    return frame


def unpacked(frame: bytes, to_array: Callable[[dict[Any, Any]], Any], *, whose: str, groot: bool = False) -> Any:
    """What a frame holds. Raises `PolicyError`, whatever is in it.

    Args:
        frame: As it came.
        to_array: An array of the mapping that stands for it, any other mapping as it is.
        whose: Way of packing is expected, for the message.
        groot: As of `packed`.
    """
    if len(frame) > MAX_BYTES:
        raise PolicyError(f"a frame of {len(frame)} bytes is longer than the {MAX_BYTES} that are read")
    try:
        return import_msgpack(groot=groot).unpackb(frame, object_hook=to_array)
    except PolicyError:
        raise
    # Whatever a stranger's bytes make msgpack, numpy and json say; a mere ValueError where they are cut short.
    except Exception as error:
        raise PolicyError(f"a frame of {len(frame)} bytes is not msgpack as {whose} packs it: {error}") from error
