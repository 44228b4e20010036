"""Diffusion Policy's replay buffers: all episodes one after the other in a zarr store, format 2 or 3, folder or zip.

    meta/episode_ends   (E,) row after the last of each episode
    data/action         (N, nu)
    data/<key>          (N, m), or pictures (N, h, w, 3), also as floats up to 255

Source: real-stanford/diffusion_policy, diffusion_policy/common/replay_buffer.py.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.pictures import as_pictures, looks_like_pictures
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined, require_keys
from dualsys.errors import DatasetError, ExtraMissing
from dualsys.messages import ImageArray

_CODECS = frozenset(
    {
        "blosc",
        "zstd",
        "lz4",
        "zlib",
        "gzip",
        "bz2",
        "lzma",
        "shuffle",
        "delta",
        "fixedscaleoffset",
        "bitround",
        "packbits",
    }
    | {"crc32", "crc32c", "adler32", "bytes", "transpose", "sharding_indexed"}
)
"""What only packs numbers. zarr also knows `pickle`, which runs what the file says."""


@final
class DiffusionSource:
    """A replay buffer."""

    format = "diffusion-policy-zarr"
    fps: int | None = None
    robot = ""
    action_representation: Literal["joint"] = "joint"

    def __init__(self, path: Path, state_keys: tuple[str, ...] = ()) -> None:
        """Open the store and read where episodes end. Raises `DatasetError` where it is no replay buffer."""
        self._path = path
        self._root = _opened(path)
        ends = self._slice("meta/episode_ends", 0, None).astype(np.int64)
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        self._ends = ends
        self._shapes = self._array_shapes()
        if np.any(ends <= self._starts):
            raise DatasetError(f"{path}: meta/episode_ends does not ascend: {ends[:8].tolist()} ...; record it again")
        short = [name for name, shape in self._shapes.items() if len(ends) and shape[0] < ends[-1]]
        if short:
            raise DatasetError(f"{path}: {short} end before meta/episode_ends does ({ends[-1]} rows); copy it again")
        vectors = {name: shape[1:] for name, shape in self._shapes.items() if not looks_like_pictures(shape)}
        self._state_keys = state_keys or ("state",)
        require_keys((*self._state_keys, "action"), list(vectors), f"{path}/data")
        self.state_names = component_names({key: vectors[key] for key in self._state_keys})
        self.action_names = component_names({"action": vectors["action"]})
        self.cameras = tuple(sorted(name for name, shape in self._shapes.items() if looks_like_pictures(shape)))
        self.notes: Mapping[str, Any] = {"state_keys": list(self._state_keys)}

    def __len__(self) -> int:
        return len(self._ends)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        rows = int(self._starts[index]), int(self._ends[index])
        states = {key: self._slice(f"data/{key}", *rows) for key in self._state_keys}
        where = f"{self._path}, episode {index}"
        return ForeignEpisode(
            states=joined(states, where), actions=joined({"action": self._slice("data/action", *rows)}, where)
        )

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode. Raises `DatasetError`."""
        rows = int(self._starts[index]), int(self._ends[index])
        return as_pictures(self._slice(f"data/{camera}", *rows), f"{self._path}/data/{camera}")

    def _array_shapes(self) -> dict[str, tuple[int, ...]]:
        try:
            return {name: array.shape for name, array in self._root["data"].arrays()}
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{self._path}/data is damaged ({error}); copy or record it again") from error

    def _slice(self, key: str, start: int, stop: int | None) -> NDArray[Any]:
        where = f"{self._path}/{key}"
        try:
            array = self._root[key]
            _require_numbers(array, where)
            return np.asarray(array[start:stop])
        except KeyError as error:
            raise DatasetError(
                f"{where} is missing: no replay buffer of Diffusion Policy, or copied in part"
            ) from error
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise DatasetError(f"{where} is damaged ({error}); copy or record it again") from error


def _opened(path: Path) -> Any:
    try:
        zarr = importlib.import_module("zarr")
    except ImportError as error:
        raise ExtraMissing("reading zarr needs zarr; install it with: pip install 'dualsys[import]'") from error
    try:
        store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
        return zarr.open_group(store, mode="r")
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError) as error:
        raise DatasetError(f"{path} is no readable zarr store ({error}); copy or record it again") from error


def _require_numbers(array: Any, where: str) -> None:
    """Refuse what could be unpickled, before anything is decoded."""
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{where} holds {array.dtype}, not numbers")
    written = array.metadata.to_dict()
    parts = [*(written.get("codecs") or ()), *(written.get("filters") or ()), written.get("compressor")]
    names = [_codec_name(part) for part in parts if part is not None]
    unknown = sorted({name for name in names if name.removeprefix("numcodecs.") not in _CODECS})
    if unknown:
        raise DatasetError(f"{where} is packed with {', '.join(unknown)}; dualsys reads {', '.join(sorted(_CODECS))}")


def _codec_name(part: Any) -> str:
    if isinstance(part, dict):
        return str(part.get("name") or part.get("id"))
    return str(getattr(part, "codec_id", type(part).__name__))
