"""What an RLDS dataset's `features.json` says of each column, and a record's values made arrays by it.

TFDS writes an episode as one record whose nested features are named by their path, `steps/observation/image`, the
values of all steps one after the other. Source: tensorflow_datasets/core/features and core/example_serializer.py.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.tf_example import Values
from dualsys.errors import DatasetError
from dualsys.files import read_json

STEPS = "steps/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A feature of each step, or of the episode."""

    kind: str
    """`image`, `text` or `tensor`."""
    shape: tuple[int, ...]
    dtype: str
    encoding: str
    """Of a tensor: `none`, `bytes` or `zlib`; of an image `png` or `jpeg`."""

    @property
    def is_picture(self) -> bool:
        """Whether it is a film in colour."""
        return self.kind == "image" and self.shape[-1:] == (3,) and self.dtype == "uint8"

    @property
    def is_vector(self) -> bool:
        """Whether it is a number or a list of numbers, of always the same length."""
        is_of_one_size = len(self.shape) <= 1 and min(self.shape, default=1) > 0
        return self.kind == "tensor" and is_of_one_size and self.dtype != "string"


def read_columns(folder: Path) -> dict[str, Column]:
    """Columns by their path. Raises `DatasetError` where the file is not as TFDS writes it, or has no steps."""
    path = folder / "features.json"
    raw = read_json(path)
    try:
        columns = dict(_leaves("", raw))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{path} is not as TensorFlow Datasets writes it ({error!r}); copy it again") from error
    if not any(name.startswith(STEPS) for name in columns):
        raise DatasetError(f"{path} has no steps: it is a TensorFlow dataset, but not of episodes (RLDS)")
    return columns


def _leaves(name: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Column]]:
    inside = node.get("featuresDict")
    if inside is not None:
        for key, child in inside["features"].items():
            yield from _leaves(f"{name}/{key}" if name else key, child)
    elif "sequence" in node:
        yield from _leaves(name, node["sequence"]["feature"])
    elif "image" in node:
        encoding = node["image"].get("encodingFormat") or "png"
        yield name, Column(kind="image", shape=_shape(node["image"]), dtype=_dtype(node["image"]), encoding=encoding)
    elif "text" in node:
        yield name, Column(kind="text", shape=(), dtype="string", encoding="none")
    elif "tensor" in node:
        encoding = str(node["tensor"].get("encoding", "none")).lower()
        yield name, Column(kind="tensor", shape=_shape(node["tensor"]), dtype=_dtype(node["tensor"]), encoding=encoding)
    # Whatever else (video, audio, labels ...) is no column that an episode of ours could have.


def _shape(node: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in node.get("shape", {}).get("dimensions", ()))


def _dtype(node: Mapping[str, Any]) -> str:
    return str(node.get("dtype") or "uint8")


def numbers_of(column: Column, values: Values, where: str) -> NDArray[Any]:
    """Values `(n, ...)` of a column of numbers. Raises `DatasetError` where they are not whole steps."""
    size = int(np.prod(column.shape, dtype=np.int64))
    if isinstance(values, list):
        try:
            parts = [zlib.decompress(value) if column.encoding == "zlib" else value for value in values]
            values = np.frombuffer(b"".join(parts), np.dtype(column.dtype).newbyteorder("<"))
        except (zlib.error, ValueError, TypeError) as error:
            raise DatasetError(f"{where} is damaged ({error}); copy it again") from error
    if size == 0 or len(values) % size:
        raise DatasetError(f"{where} has {len(values)} values, no multiple of {size} {column.shape}; copy it again")
    return values.reshape(-1, *column.shape)
