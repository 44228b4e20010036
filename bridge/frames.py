"""Building blocks of a wire frame: fixed little-endian fields, bounded arrays and texts, no pickle.

    frame = magic "DSYS", version u16, kind u16, total bytes u32, reserved u32, then the kind's fields in order

Every field starts at a multiple of eight bytes, so that arrays can be viewed in place.
"""

import math
import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import BridgeError

MAGIC = b"DSYS"
WIRE_VERSION = 2
MAX_FRAME_BYTES = 256 * 2**20
MAX_TEXT_BYTES = 64 * 2**10
MAX_DIMENSIONS = 6

_HEAD = struct.Struct("<4sHHII")
_INTEGER = struct.Struct("<q")
_FLOAT = struct.Struct("<d")
_ARRAY = struct.Struct("<II")
DTYPES = ("<f8", "<f4", "|u1", "|b1", "<i8", "<f2", "<i4", "<i2", "<u2")
"""Of arrays; a dtype's place is its code on the wire, so new ones go to the end."""
_DTYPES = {code: np.dtype(name) for code, name in enumerate(DTYPES, start=1)}
_DTYPE_NAMED = {name: np.dtype(name) for name in DTYPES}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


@cache
def _integers(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}q")


class FrameWriter:
    """Collects the fields of one frame."""

    def __init__(self, kind: int) -> None:
        """Start a frame of a kind."""
        self._kind = kind
        # Joined once, at the end: an array is copied once, not with every field that follows it.
        self._parts: list[bytes | memoryview] = []
        self._size = _HEAD.size

    def integer(self, value: int) -> None:
        """Append a signed 64-bit integer."""
        try:
            self._add(_INTEGER.pack(value))
        except struct.error as error:
            raise BridgeError(f"{value!r} doesn't fit into a 64-bit integer") from error

    def number(self, value: float) -> None:
        """Append a 64-bit float."""
        self._add(_FLOAT.pack(value))

    def text(self, value: str) -> None:
        """Append a text of at most `MAX_TEXT_BYTES` in UTF-8."""
        try:
            data = value.encode()
        except UnicodeEncodeError as error:
            raise BridgeError(f"text {value[:40]!r} is not valid Unicode: {error.reason}") from error
        if len(data) > MAX_TEXT_BYTES:
            raise BridgeError(f"a text of {len(data)} bytes exceeds the wire's {MAX_TEXT_BYTES}: {value[:40]!r}...")
        self.integer(len(data))
        self._append(data)

    def array(self, value: NDArray[Any], dtype: str) -> None:
        """Append an array, which must have the dtype that the field is defined with."""
        wanted = np.dtype(dtype)
        if value.dtype != wanted or value.ndim > MAX_DIMENSIONS:
            raise BridgeError(f"expected a {wanted} array of <= {MAX_DIMENSIONS} axes, got {value.dtype} {value.shape}")
        self._add(_ARRAY.pack(_CODES[wanted], value.ndim) + _integers(value.ndim).pack(*value.shape))
        # As bytes of one axis: a view of a whole array, none of an array of no bytes, has that form.
        contiguous = np.ascontiguousarray(value, dtype=wanted).reshape(-1)
        self._append(contiguous.view(np.uint8).data)

    def optional_array(self, value: NDArray[Any] | None, dtype: str) -> None:
        """Append a flag, and the array where there is one."""
        self.integer(value is not None)
        if value is not None:
            self.array(value, dtype)

    def _append(self, data: bytes | memoryview) -> None:
        self._add(data)
        padding = -len(data) % 8
        if padding:
            self._add(bytes(padding))

    def _add(self, data: bytes | memoryview) -> None:
        self._parts.append(data)
        self._size += len(data)

    def finish(self) -> bytes:
        """The frame. Raises `BridgeError` when it is larger than `MAX_FRAME_BYTES`."""
        if self._size > MAX_FRAME_BYTES:
            raise BridgeError(f"a frame of {self._size} bytes exceeds the wire's {MAX_FRAME_BYTES}")
        return b"".join((_HEAD.pack(MAGIC, WIRE_VERSION, self._kind, self._size, 0), *self._parts))


class FrameReader:
    """Takes the fields of one frame in order. Raises `BridgeError` for anything that isn't as written."""

    def __init__(self, data: bytes | bytearray, kind: int) -> None:
        """Check the head of a frame."""
        if len(data) < _HEAD.size:
            raise BridgeError(f"a frame of {len(data)} bytes is shorter than its head")
        magic, version, found, total, _ = _HEAD.unpack_from(data)
        if magic != MAGIC:
            raise BridgeError(f"not a dualsys frame: it starts with {bytes(magic)!r}")
        if version != WIRE_VERSION:
            raise BridgeError(f"frame of wire version {version}, this dualsys speaks {WIRE_VERSION}: use one version")
        if found != kind:
            raise BridgeError(f"frame of kind {found}, expected kind {kind}")
        if total != len(data) or total > MAX_FRAME_BYTES:
            raise BridgeError(f"frame of {len(data)} bytes promises {total}")
        self._data = data
        self._offset = _HEAD.size

    def _step(self, nbytes: int) -> int:
        """Past fields of eight bytes each: the short way, of which the tick takes many."""
        start = self._offset
        self._offset = end = start + nbytes
        if end > len(self._data):
            raise BridgeError(f"frame ends at {len(self._data)} bytes, a field reaches to {end}")
        return start

    def _skip(self, nbytes: int) -> int:
        start = self._offset
        end = start + nbytes
        padded = end + -end % 8
        if nbytes < 0 or padded > len(self._data):
            raise BridgeError(f"frame ends at {len(self._data)} bytes, a field reaches to {padded}")
        if padded != end and any(self._data[end:padded]):
            raise BridgeError("frame has other bytes than zero between two fields")
        self._offset = padded
        return start

    def integer(self) -> int:
        """Take a signed 64-bit integer."""
        return int(_INTEGER.unpack_from(self._data, self._step(8))[0])

    def number(self) -> float:
        """Take a 64-bit float."""
        return float(_FLOAT.unpack_from(self._data, self._step(8))[0])

    def scalars(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Take several integers (`q`) and numbers (`d`) in a row, `<qdq`: one step, which the tick is glad of."""
        return layout.unpack_from(self._data, self._step(layout.size))

    def flag(self) -> bool:
        """Take an integer that is 0 or 1."""
        value = _INTEGER.unpack_from(self._data, self._step(8))[0]
        if value not in (0, 1):
            raise BridgeError(f"a flag is {value}, expected 0 or 1")
        return bool(value)

    def count(self, most: int) -> int:
        """Take a number of things, at most `most`."""
        value = int(_INTEGER.unpack_from(self._data, self._step(8))[0])
        if not 0 <= value <= most:
            raise BridgeError(f"a count is {value}, expected 0 to {most}")
        return value

    def text(self) -> str:
        """Take a text."""
        length = self.count(MAX_TEXT_BYTES)
        if length == 0:
            return ""
        start = self._skip(length)
        try:
            return bytes(self._data[start : start + length]).decode()
        except UnicodeDecodeError as error:
            raise BridgeError(f"a text is not valid UTF-8: {error.reason}") from error

    def array(self, dtype: str, ndim: int) -> NDArray[Any]:
        """Take an array of a dtype and a number of axes; it views the frame's bytes."""
        code, found_ndim = _ARRAY.unpack_from(self._data, self._step(8))
        wanted = _DTYPE_NAMED[dtype]
        if _DTYPES.get(code) != wanted or found_ndim != ndim:
            raise BridgeError(f"array of dtype code {code} and {found_ndim} axes, expected {wanted} and {ndim}")
        shape = _integers(ndim).unpack_from(self._data, self._step(8 * ndim))
        if shape and not 0 <= min(shape) <= max(shape) <= MAX_FRAME_BYTES:
            raise BridgeError(f"an array's shape is {shape}, expected lengths of 0 to {MAX_FRAME_BYTES}")
        size = math.prod(shape)
        start = self._skip(size * wanted.itemsize)
        if size == 0:
            return np.empty(shape, dtype=wanted)
        if wanted == np.bool_ and np.frombuffer(self._data, dtype=np.uint8, count=size, offset=start).max() > 1:
            raise BridgeError("a boolean array has other bytes than 0 and 1")
        return np.frombuffer(self._data, dtype=wanted, count=size, offset=start).reshape(shape)

    def optional_array(self, dtype: str, ndim: int) -> NDArray[Any] | None:
        """Take a flag, and the array where there is one."""
        return self.array(dtype, ndim) if self.flag() else None

    def finish(self) -> None:
        """Nothing may be left."""
        if self._offset != len(self._data):
            raise BridgeError(f"frame has {len(self._data) - self._offset} bytes more than its fields")
