"""A module's safetensors file, written tensor by tensor from another's: never more than one block of it is held.

Tensors that are only renamed or joined are copied as bytes, whatever their dtype; those whose values change are read
whole, one at a time. Every block is looked through on its way: numbers that are none would drive no robot, and say so
nowhere.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualsys.app.importing.rules import Piece, Recipe, Recipes, make
from dualsys.app.importing.tensor_files import TensorFiles
from dualsys.errors import CheckpointError
from dualsys.files import written_or_said

_ALIGNMENT = 8
_EXPONENTS: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
"""Unsigned integers of a number's width, and the bits of its exponent: all are set in NaN and in infinity alone."""
Progress = Callable[[int], Any]
"""Told how many bytes were written."""


def write_streamed(path: Path, recipes: Recipes, source: TensorFiles, progress: Progress = lambda _: None) -> None:
    """Write `path` in one pass.

    Raises:
        CannotWrite: it cannot be written.
        CheckpointError: joined tensors are of different dtypes, a value isn't finite, or the source changes meanwhile.
    """
    meta = source.meta()
    shapes = {name: make(recipe, meta) for name, recipe in recipes.items()}
    dtypes = {name: _dtype(name, recipe, source) for name, recipe in recipes.items()}
    with written_or_said(path), path.open("wb") as file:
        file.write(_header(shapes, dtypes))
        for name in shapes:
            for piece in recipes[name]:
                for block in _bytes(piece, source):
                    _require_finite(block, piece.source, source)
                    file.write(block)
                    progress(len(block))


def _header(shapes: Mapping[str, Tensor], dtypes: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, shape in shapes.items():
        end = begin + math.prod(shape.shape) * shape.element_size()
        entries[name] = {"dtype": dtypes[name], "shape": list(shape.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _dtype(name: str, recipe: Recipe, source: TensorFiles) -> str:
    found = {source.tensors[piece.source].dtype for piece in recipe}
    if len(found) != 1:
        raise CheckpointError(f"{name!r} is joined from tensors of {', '.join(sorted(found))}; they must be of one")
    return found.pop()


def _bytes(piece: Piece, source: TensorFiles) -> Iterator[bytes]:
    if piece.change is None:
        yield from source.blocks(piece.source)
    else:
        changed = piece.change(source.read(piece.source)).contiguous()
        yield changed.reshape(-1).view(torch.uint8).numpy().tobytes()


def _require_finite(block: bytes, name: str, source: TensorFiles) -> None:
    """Raise `CheckpointError` where one of a tensor's numbers, little-endian as they are stored, is NaN or infinite."""
    stored = source.tensors[name]
    kind, exponent = _EXPONENTS[stored.dtype]
    numbers = np.frombuffer(block, dtype=kind, count=len(block) // kind(0).itemsize)
    if bool(((numbers & kind(exponent)) == exponent).any()):
        raise CheckpointError(
            f"{stored.file}: {name} has numbers that are not finite (NaN or infinite): no robot can be driven by them; "
            "copy the folder again, or take a checkpoint from before its training went wrong"
        )
