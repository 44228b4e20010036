"""One recorded episode, in memory and staged on disk until it becomes part of a dataset."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dualsys.data.summaries import Statistics, image_statistics
from dualsys.data.video import encode_video
from dualsys.errors import DatasetError
from dualsys.files import replacing
from dualsys.messages import ImageArray

_AGAIN = "record or import it again with the same command (demos: with --resume)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraTrack:
    """What one camera saw: distinct frames, and which of them each row shows."""

    frames: ImageArray
    """`(f, h, w, 3)` uint8 RGB."""
    frame_of_row: NDArray[np.int64]
    """`(n,)`, never descending."""
    stamps_s: NDArray[np.float64]
    """`(f,)` when each frame was taken, from the start of the episode."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """Row `t`: the state observed, and the action sent right after it. `n` rows."""

    seed: int
    instruction: str
    states: NDArray[np.float32]
    """`(n, nx)`."""
    actions: NDArray[np.float32]
    """`(n, nu)`."""
    cameras: Mapping[str, CameraTrack]
    success: bool = True
    extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Further row-wise columns by feature name, `(n,)` or `(n, m)`; what only a simulator knows is `privileged.*`."""

    @property
    def length(self) -> int:
        """Number of rows."""
        return len(self.states)

    def check(self) -> None:
        """Raise `DatasetError` where arrays disagree or a state or action is not finite."""
        if self.length == 0:
            raise DatasetError(f"episode of seed {self.seed} has no rows")
        for name, column in {"states": self.states, "actions": self.actions, **self.extras}.items():
            if len(column) != self.length:
                raise DatasetError(f"episode of seed {self.seed}: {name} has {len(column)} rows, states {self.length}")
        for name, column in {"state": self.states, "action": self.actions}.items():
            if not np.all(np.isfinite(column)):
                raise DatasetError(f"episode of seed {self.seed}: a {name} is not finite")
        for name, track in self.cameras.items():
            steps = np.diff(track.frame_of_row)
            if (
                len(track.frame_of_row) != self.length
                or len(track.stamps_s) != len(track.frames)
                or track.frame_of_row[0] != 0
                or np.any((steps != 0) & (steps != 1))
                or track.frame_of_row[-1] != len(track.frames) - 1
            ):
                raise DatasetError(f"episode of seed {self.seed}: camera {name!r} does not show its frames in order")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagedEpisode:
    """An episode on disk: rows in `<seed>.npz`, videos beside it. The `.npz` comes last: if it is there, all is."""

    folder: Path
    seed: int
    instruction: str
    success: bool
    length: int
    columns: Mapping[str, NDArray[Any]]
    """`state`, `action`, `stamp/<camera>` `(n,)` and `extra/<name>`."""
    image_statistics: Mapping[str, Statistics]

    @classmethod
    def save(cls, folder: Path, episode: Episode, fps: int) -> None:
        """Stage an episode. Raises `DatasetError` where it doesn't hold together."""
        episode.check()
        columns: dict[str, NDArray[Any]] = {"state": episode.states, "action": episode.actions}
        columns |= {f"extra/{name}": np.asarray(value, np.float32) for name, value in episode.extras.items()}
        statistics = {}
        for name, track in episode.cameras.items():
            encode_video(_video_path(folder, episode.seed, name), track.frames, track.frame_of_row, fps)
            columns[f"stamp/{name}"] = track.stamps_s[track.frame_of_row]
            statistics[name] = {k: v.tolist() for k, v in image_statistics(track.frames).items()}
        about = {
            "seed": episode.seed,
            "instruction": episode.instruction,
            "success": episode.success,
            "image_statistics": statistics,
        }
        with replacing(_rows_path(folder, episode.seed)) as partial, partial.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **columns)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, seed: int) -> Self:
        """Read a staged episode. Raises `DatasetError` where it is damaged."""
        path = _rows_path(folder, seed)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                about = json.loads(str(archive["about"]))
                columns = {name: archive[name] for name in archive.files if name != "about"}
        except FileNotFoundError as error:
            raise DatasetError(f"{path} is gone: somebody removed it; {_AGAIN}") from error
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{path} is damaged ({error}); delete it, then {_AGAIN}") from error
        statistics = {
            name: {key: np.asarray(value, np.float64) for key, value in entry.items()}
            for name, entry in about["image_statistics"].items()
        }
        return cls(
            folder=folder,
            seed=seed,
            instruction=about["instruction"],
            success=about["success"],
            length=len(columns["state"]),
            columns=columns,
            image_statistics=statistics,
        )

    def video(self, camera: str) -> Path:
        """File of a camera's frames."""
        return _video_path(self.folder, self.seed, camera)

    @staticmethod
    def seeds(folder: Path) -> list[int]:
        """Seeds staged in a folder, ascending."""
        return sorted(int(path.stem) for path in folder.glob("*.npz") if path.stem.isdigit())


def _rows_path(folder: Path, seed: int) -> Path:
    return folder / f"{seed:08d}.npz"


def _video_path(folder: Path, seed: int, camera: str) -> Path:
    return folder / f"{seed:08d}.{camera}.mp4"
