"""GR00T's frames: msgpack with arrays as NumPy's own file format. Read and written without pickle.

    {"__ndarray_class__": True, "as_npy": bytes}
    {"__ModalityConfig_class__": True, "as_json": what N1.5 writes as text, N1.6 and N1.7 as a mapping}

A frame is a stranger's: it is believed as far as there are bytes, and no further.
"""

import io
import json
from typing import Any

import numpy as np

from dualsys.actor.outside.frame import packed, unpacked


def pack(value: Any) -> bytes:
    """A frame. Raises `PolicyError` for what doesn't go on a wire."""
    return packed(value, _from_array, groot=True)


def unpack(frame: bytes) -> Any:
    """What a frame holds; a modality's config as the mapping that it is. Raises `PolicyError`, whatever is in it."""
    return unpacked(frame, _to_array, whose="GR00T", groot=True)


def _from_array(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a {type(value).__name__}")
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": file.getvalue()}


def _to_array(found: dict[Any, Any]) -> Any:
    if "__ModalityConfig_class__" in found:
        config = found["as_json"]
        return {**json.loads(config), "is_n1_5": True} if isinstance(config, str) else config
    if "__ndarray_class__" not in found:
        return found
    return _read_npy(found["as_npy"])


def _read_npy(data: bytes) -> np.ndarray[Any, Any]:
    """An array from a file in memory. The header is believed only as far as there are bytes."""
    file = io.BytesIO(data)
    npy: Any = np.lib.format
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array in npy {version}")
    shape, fortran, dtype = readers[version](file)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of type {dtype}; numbers and booleans are read")
    numbers = np.frombuffer(data, dtype=dtype, offset=file.tell())
    return numbers.reshape(shape, order="F" if fortran else "C")
