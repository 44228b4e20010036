"""Tensors of a checkpoint's safetensors files, one or many: known from the headers, read one by one, in blocks.

Nothing is ever unpickled: a folder that holds nothing but pickles is refused with a word on how to convert it.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from safetensors import safe_open
from torch import Tensor

from dualsys.checkpoint import check_safetensors
from dualsys.errors import CheckpointError

BLOCK_BYTES = 4 * 2**20
"""Read at once."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_ADAPTERS = ("adapter_model.safetensors", "adapter_config.json")
"""PEFT's files."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_JAX = ("params", "_METADATA", "train_state")
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""Of weights. Others, such as quantised ones, are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a tensor is, and what it is."""

    file: Path
    dtype: str
    """In safetensors' words, such as `BF16`."""
    shape: tuple[int, ...]
    begin: int
    """Of its bytes in the file."""
    end: int

    @property
    def nbytes(self) -> int:
        """How long it is."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFiles:
    """All tensors of a checkpoint, by name; none is read yet."""

    tensors: Mapping[str, StoredTensor]

    @classmethod
    def open(cls, checkpoint: Path) -> Self:
        """Those of a folder, sharded or not, or of one safetensors file.

        Raises:
            CheckpointError: there are none, one is missing, cut short or foreign, or holds what an index doesn't say.
        """
        if checkpoint.is_file():
            _require_safetensors(checkpoint)
            return cls(tensors=_read_headers([checkpoint]))
        index = checkpoint / INDEX
        if index.is_file():
            return cls(tensors=_indexed(index))
        if (checkpoint / SINGLE).is_file():
            return cls(tensors=_read_headers([checkpoint / SINGLE]))
        raise CheckpointError(_nothing_in(checkpoint))

    def meta(self) -> dict[str, Tensor]:
        """Shapes and dtypes without values, on the meta device. Raises `CheckpointError` for a dtype of no weight."""
        return {
            name: torch.empty(stored.shape, dtype=_dtype(name, stored), device="meta")
            for name, stored in self.tensors.items()
        }

    def without(self, names: Iterable[str]) -> Self:
        """The same without some of them."""
        left_out = set(names)
        return type(self)(tensors={name: value for name, value in self.tensors.items() if name not in left_out})

    def read(self, name: str) -> Tensor:
        """One tensor, whole."""
        with safe_open(self.tensors[name].file, framework="pt") as file:
            value: Tensor = file.get_tensor(name)
            return value.clone()

    def blocks(self, name: str) -> Iterator[bytes]:
        """Its bytes as they are stored, in blocks."""
        stored = self.tensors[name]
        with stored.file.open("rb") as file:
            yield from _blocks(file, stored)

    @property
    def files(self) -> tuple[Path, ...]:
        """Where they are."""
        return tuple(sorted({stored.file for stored in self.tensors.values()}))

    @property
    def nbytes(self) -> int:
        """Of all tensors."""
        return sum(stored.nbytes for stored in self.tensors.values())


def _blocks(file: BinaryIO, stored: StoredTensor) -> Iterator[bytes]:
    file.seek(stored.begin)
    left = stored.nbytes
    while left:
        block = file.read(min(BLOCK_BYTES, left))
        if not block:
            raise CheckpointError(f"{stored.file} became shorter while it was read; copy it again")
        left -= len(block)
        yield block


def _dtype(name: str, stored: StoredTensor) -> torch.dtype:
    if stored.dtype not in _DTYPES:
        raise CheckpointError(
            f"{name} is stored as {stored.dtype}; only {', '.join(_DTYPES)} can be imported. Save the checkpoint "
            "unquantised"
        )
    dtype = _DTYPES[stored.dtype]
    if stored.nbytes != math.prod(stored.shape) * dtype.itemsize:
        raise CheckpointError(
            f"{stored.file.name}: {name} is said to be {stored.dtype} {stored.shape}, but has {stored.nbytes} bytes; "
            "copy it again"
        )
    return dtype


def _indexed(index: Path) -> dict[str, StoredTensor]:
    places = _weight_map(index)
    files = sorted({index.parent / file for file in places.values()})
    tensors = _read_headers(files)
    wrong = [name for name, file in places.items() if name not in tensors or tensors[name].file.name != file]
    unlisted = sorted(tensors.keys() - places.keys())
    if wrong or unlisted:
        raise CheckpointError(
            f"{index.name} and its files don't agree: {len(wrong)} tensors aren't where it says, {len(unlisted)} "
            f"aren't listed, such as {[*wrong, *unlisted][0]!r}; copy the whole folder again"
        )
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    try:
        raw: Any = json.loads(index.read_text(encoding="utf-8"))
        places = {str(name): str(file) for name, file in raw["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is no index of safetensors files; copy it again") from error
    outside = sorted(file for file in places.values() if Path(file).name != file)
    if outside:
        raise CheckpointError(f"{index} names a file outside of its folder: {outside[0]}")
    return places


def _read_headers(files: Iterable[Path]) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    for file in files:
        for name, stored in _read_header(file).items():
            if name in found:
                raise CheckpointError(f"{name!r} is in {found[name].file.name} and in {file.name}")
            found[name] = stored
    return found


def _read_header(path: Path) -> dict[str, StoredTensor]:
    check_safetensors(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    start = 8 + length
    return {
        name: StoredTensor(
            file=path,
            dtype=str(entry["dtype"]),
            shape=tuple(map(int, entry["shape"])),
            begin=start + int(entry["data_offsets"][0]),
            end=start + int(entry["data_offsets"][1]),
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _require_safetensors(path: Path) -> None:
    if any(path.match(pattern) for pattern in _PICKLES):
        raise CheckpointError(_pickled(path))


def _nothing_in(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} doesn't exist; give the folder of a published checkpoint (config.json and its safetensors)"
    if adapters := [name for name in _ADAPTERS if (folder / name).is_file()]:
        return (
            f"{folder} is an adapter ({adapters[0]}), a change of another checkpoint: merge it into that first "
            "(PEFT's merge_and_unload, then save_pretrained)"
        )
    if others := sorted(path.name for path in folder.glob("*.safetensors") if path.name.startswith("model-")):
        return (
            f"{folder} has shards ({others[0]}{', ...' if len(others) > 1 else ''}) without {INDEX}, which says "
            "what is in which; copy it, too"
        )
    pickles = sorted(path for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return _pickled(pickles[0])
    if any((folder / name).exists() for name in _JAX):
        return (
            f"{folder} is a checkpoint of JAX; convert it first with openpi's own "
            "examples/convert_jax_model_to_pytorch.py"
        )
    return f"{folder} has neither {SINGLE} nor {INDEX}; give the folder of a published checkpoint"


def _pickled(path: Path) -> str:
    return (
        f"{path} may be a pickle, which runs whatever its author wrote into it, and is never read; "
        "convert it to safetensors where it comes from"
    )
