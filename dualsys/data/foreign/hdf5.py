"""HDF5 files: opened for reading, numbers only. Nothing in them is ever unpickled."""

import importlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import DatasetError, ExtraMissing

SUFFIXES = (".hdf5", ".h5")


def hdf5_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder: `episode_2` comes before `episode_10`."""
    if path.is_file():
        return [path] if path.suffix in SUFFIXES else []
    return sorted((p for p in path.glob("*") if p.suffix in SUFFIXES), key=lambda p: natural_order(p.stem))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorts numbers inside names by value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


@contextmanager
def opened_hdf5(path: Path) -> Iterator[Any]:
    """An open `h5py.File`. Raises `ExtraMissing` without h5py, `DatasetError` for a damaged file."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise ExtraMissing("reading HDF5 needs h5py; install it with: pip install 'dualsys[import]'") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(f"{path} is no readable HDF5 file ({error}); copy or record it again") from error
    with file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            # A file cut short opens, and fails where its data should be.
            raise DatasetError(
                f"{path} is damaged ({error}); copy or record it again, or leave the episode out with --skip"
            ) from error


def numbers(group: Any, key: str) -> NDArray[Any]:
    """A dataset of numbers, whole. Raises `DatasetError` where it is absent or something else."""
    where = f"{group.file.filename}:{group.name.rstrip('/')}/{key}"
    node = group.get(key)
    if node is None or not hasattr(node, "dtype"):
        raise DatasetError(f"{where} is missing; {group.name} has {', '.join(sorted(group)) or 'nothing'}")
    if node.dtype.kind not in "biuf":
        raise DatasetError(f"{where} holds {node.dtype}, not numbers")
    return np.asarray(node[()])


def json_attribute(node: Any, name: str) -> dict[str, Any]:
    """An attribute that holds a JSON object; empty where it is absent or no such thing."""
    value = node.attrs.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        found = json.loads(value) if isinstance(value, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
