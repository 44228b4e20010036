"""Decoded frames on disk: videos are decoded once, later opens map the result into memory.

The cache lies in the dataset's folder (`.frames/`), or under `$DUALSYS_CACHE` where that is set. It is used only while
the videos it was made from are the same files.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from dualsys.data.video import decode_frames
from dualsys.errors import CannotWrite, DatasetError
from dualsys.files import replacing, write_json
from dualsys.messages import ImageArray

FORMAT = 1
_PROGRESS_EVERY = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoRows:
    """Rows wanted from one video file."""

    path: Path
    rows: NDArray[np.int64]
    """Positions in the file, ascending."""


class FrameStore:
    """Distinct frames `(f, h, w, 3)` of one or several datasets, indexed as one array, mapped from disk."""

    def __init__(self, parts: Sequence[ImageArray]) -> None:
        """Chain arrays of the same image size."""
        if len({part.shape[1:] for part in parts}) != 1:
            raise DatasetError(f"datasets have images of different sizes: {[part.shape[1:] for part in parts]}")
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """`(f, h, w, 3)`."""
        return (len(self), *self.parts[0].shape[1:])

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: NDArray[np.integer[Any]] | slice) -> ImageArray: ...
    def __getitem__(self, index: Any) -> ImageArray:
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][index])
        chosen = np.arange(len(self))[index]
        flat = np.atleast_1d(chosen).reshape(-1)
        gathered = np.empty((len(flat), *self.shape[1:]), np.uint8)
        owner = np.searchsorted(self._ends, flat, side="right")
        for number, part in enumerate(self.parts):
            mine = owner == number
            gathered[mine] = part[flat[mine] - (self._ends[number] - len(part))]
        return gathered.reshape(*np.shape(chosen), *self.shape[1:])


def cached_frames(
    root: Path,
    feature: str,
    videos: Sequence[VideoRows],
    shape: tuple[int, ...],
    *,
    fps: int,
    progress: Progress | None = None,
) -> ImageArray:
    """Frames of the given rows, `(sum of rows, h, w, 3)` uint8, mapped read-only.

    Args:
        root: The dataset's folder.
        feature: Name of the image feature.
        videos: Files and rows, in order.
        shape: `(h, w, 3)` as the dataset promises it.
        fps: Rows a second.
        progress: Called now and then while videos are decoded, with frames done and frames in all.

    Raises:
        DatasetError: a video is missing, damaged, too short or of another size.
        CannotWrite: there is no room for the frames.
    """
    folder = _cache_folder(root)
    array_path, key_path = folder / f"{feature}.npy", folder / f"{feature}.json"
    key = _key(videos, shape)
    frames = _existing(array_path, key_path, key)
    if frames is not None:
        return frames
    count = sum(len(video.rows) for video in videos)
    with replacing(array_path) as partial:
        try:
            frames = _new_array(partial, (count, *shape))
        except OSError as error:
            raise CannotWrite(
                f"cannot write the decoded frames to {folder} ({error.strerror}); they need "
                f"{count * np.prod(shape) / 1e6:.1f} MB: free some room, or set DUALSYS_CACHE to a folder with room"
            ) from error
        _decode_into(frames, videos, fps, progress)
    write_json(key_path, key)
    return _mapped(array_path)


def _new_array(path: Path, shape: tuple[int, ...]) -> Any:
    frames = open_memmap(path, "w+", np.uint8, shape)  # type: ignore[no-untyped-call]
    # A mapped file has holes until it is written, and on a full disk writing into one kills the process.
    with path.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return frames


def _mapped(path: Path) -> ImageArray:
    frames: ImageArray = np.load(path, mmap_mode="r")
    return frames


def _decode_into(frames: Any, videos: Sequence[VideoRows], fps: int, progress: Progress | None) -> None:
    start = 0
    for video in videos:
        for offset, image in enumerate(decode_frames(video.path, video.rows, fps)):
            if image.shape != frames.shape[1:]:
                raise DatasetError(f"{video.path} has images {image.shape}, meta/info.json says {frames.shape[1:]}")
            frames[start + offset] = image
            if progress is not None and (start + offset) % _PROGRESS_EVERY == 0:
                progress(start + offset, len(frames))
        start += len(video.rows)
    frames.flush()


def _existing(array_path: Path, key_path: Path, key: dict[str, Any]) -> ImageArray | None:
    if not array_path.is_file() or not key_path.is_file():
        return None
    try:
        if json.loads(key_path.read_text(encoding="utf-8")) != key:
            return None
        frames = _mapped(array_path)
    except ValueError:  # a damaged cache is made again
        return None
    return frames if frames.shape == tuple(key["shape"]) and frames.dtype == np.uint8 else None


def _key(videos: Sequence[VideoRows], shape: tuple[int, ...]) -> dict[str, Any]:
    files = []
    for video in videos:
        if not video.path.is_file():
            raise DatasetError(f"{video.path} is missing; copy or record the dataset again")
        status = video.path.stat()
        rows = hashlib.sha256(video.rows.astype("<i8").tobytes()).hexdigest()
        files.append([video.path.name, status.st_size, status.st_mtime_ns, rows])
    return {"format": FORMAT, "shape": [sum(len(video.rows) for video in videos), *shape], "files": files}


def _cache_folder(root: Path) -> Path:
    chosen = os.environ.get("DUALSYS_CACHE")
    if not chosen:
        return root / ".frames"
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return Path(chosen) / "frames" / name
