"""openpi's frames: msgpack with arrays as a mapping of bytes, type and shape. Read and written without pickle.

    {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [10, 7]}
    {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f8"}

A frame is a stranger's: it is believed as far as there are bytes, and no further.
"""

import math
from typing import Any

import numpy as np

from dualsys.actor.outside.frame import packed, unpacked
from dualsys.errors import PolicyError

_KINDS = "biuf"
"""Booleans and numbers. Objects would need pickle; text comes as text."""


def pack(value: Any) -> bytes:
    """A frame. Raises `PolicyError` for what doesn't go on a wire."""
    return packed(value, _from_array)


def unpack(frame: bytes) -> Any:
    """What a frame holds. Raises `PolicyError`, whatever is in it; arrays of objects are refused."""
    return unpacked(frame, _to_array, whose="openpi")


def _from_array(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in _KINDS:
        raise TypeError(f"an array of type {value.dtype}; numbers and booleans go on the wire")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__}")


def _to_array(found: dict[Any, Any]) -> Any:
    if b"__npgeneric__" in found:
        return _numbers(found).type(found[b"data"])
    if b"__ndarray__" not in found:
        return found
    dtype, shape, data = _numbers(found), tuple(found[b"shape"]), found[b"data"]
    if not all(isinstance(length, int) and length >= 0 for length in shape) or not isinstance(data, bytes):
        raise PolicyError(f"an array has shape {shape} and its data as {type(data).__name__}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise PolicyError(f"an array of {dtype} {shape} comes with {len(data)} bytes of data")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _numbers(found: dict[Any, Any]) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(found[b"dtype"])
    if dtype.kind not in _KINDS:
        raise PolicyError(f"an array of type {dtype} is refused; numbers and booleans are read")
    return dtype
