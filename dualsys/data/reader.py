"""Reading datasets for training: everything as numpy arrays, frames decoded once and mapped from disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dualsys.data.folder import FolderData, read_folder
from dualsys.data.frame_cache import FrameStore, Progress
from dualsys.data.info import Provenance
from dualsys.data.joining import Shared, shared_by
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTrack:
    """What one camera saw: distinct frames, and which of them each row shows."""

    frames: FrameStore
    """`(F, h, w, 3)` uint8 RGB."""
    frame_of_row: NDArray[np.int64]
    """`(N,)`."""
    stamp_of_row_s: NDArray[np.float32]
    """`(N,)` when the shown frame was taken, from the start of its episode."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemonstrationDataset:
    """Demonstrations of one or several dataset folders: `N` rows in `E` episodes, rows of an episode together.

    Row `t` of an episode is the state observed and the action sent right after it.
    """

    paths: tuple[Path, ...]
    fps: int
    embodiment: EmbodimentSpec | None
    """None where the dataset was not written by dualsys and none was asked for."""
    provenance: tuple[Provenance | None, ...]
    """By folder."""
    states: NDArray[np.float32]
    """`(N, nx)`."""
    actions: NDArray[np.float32]
    """`(N, nu)`."""
    episode_starts: NDArray[np.int64]
    """`(E,)` first row."""
    episode_lengths: NDArray[np.int64]
    """`(E,)`."""
    folder_of_episode: NDArray[np.int64]
    """`(E,)` number of the folder in `paths`."""
    instructions: tuple[str, ...]
    """By episode."""
    seeds: NDArray[np.int64]
    """`(E,)`; -1 where unknown."""
    success: NDArray[np.bool_]
    """`(E,)`; True where unknown."""
    cameras: Mapping[str, FrameTrack]
    """By camera name."""
    extras: Mapping[str, NDArray[Any]]
    """Further row-wise columns, such as `privileged.target_position`, `(N,)` or `(N, m)`."""
    cameras_left_out: Mapping[str, str]
    """By name, why: cameras that not all folders have in the same size, such as `/data/old has none of that name`."""
    columns_left_out: Mapping[str, str]
    """The same of further columns."""
    robots: tuple[EmbodimentSpec, ...] = ()
    """Where it is of several robots, all of them; `embodiment` is then the first. States and actions are padded behind
    to the widest."""
    robot_of_episode: NDArray[np.int64] | None = None
    """`(E,)` number of the robot; None where it is of one."""

    @classmethod
    def open(
        cls,
        path: str | Path | Sequence[str | Path],
        embodiment: EmbodimentSpec | None = None,
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Open one folder, or several in a row.

        Args:
            path: A LeRobot v3.0 dataset folder, or several of the same robot, rate and `privileged.*` columns. A camera
                or another column that one of them lacks, or has in another size, is left out; one camera must be left.
            embodiment: The robot it must be of; None takes what the dataset says.
            progress: Called while videos are decoded, which only the first opening does: frames done, frames in all.

        Raises:
            DatasetError: a folder is no dataset, of another format or robot, incomplete or damaged; or several differ.
        """
        paths = [Path(path)] if isinstance(path, str | Path) else [Path(each) for each in path]
        if not paths:
            raise DatasetError("no dataset folder given")
        folders = [read_folder(each, embodiment, progress) for each in paths]
        return cls._joined(folders, shared_by(folders))

    @classmethod
    def _joined(cls, folders: Sequence[FolderData], shared: Shared) -> Self:
        first = folders[0]
        lengths = np.concatenate([folder.episode_lengths for folder in folders])
        cameras = {}
        for camera in shared.cameras:
            tracks = [folder.cameras[camera] for folder in folders]
            offsets = np.cumsum([0, *(len(track.frames) for track in tracks)])[:-1]
            cameras[camera] = FrameTrack(
                frames=FrameStore([track.frames for track in tracks]),
                frame_of_row=np.concatenate([t.frame_of_row + o for t, o in zip(tracks, offsets, strict=True)]),
                stamp_of_row_s=np.concatenate([track.stamp_of_row_s for track in tracks]),
            )
        return cls(
            paths=tuple(folder.root for folder in folders),
            fps=first.fps,
            embodiment=shared.robot_of(first),
            provenance=tuple(folder.provenance for folder in folders),
            states=np.concatenate([folder.states for folder in folders]),
            actions=np.concatenate([folder.actions for folder in folders]),
            episode_starts=np.cumsum([0, *lengths])[:-1].astype(np.int64),
            episode_lengths=lengths,
            folder_of_episode=np.repeat(np.arange(len(folders)), [len(folder.episode_lengths) for folder in folders]),
            instructions=tuple(text for folder in folders for text in folder.instructions),
            seeds=np.concatenate([folder.seeds for folder in folders]),
            success=np.concatenate([folder.success for folder in folders]),
            cameras=cameras,
            extras={name: np.concatenate([folder.extras[name] for folder in folders]) for name in shared.columns},
            cameras_left_out=shared.cameras_left_out,
            columns_left_out=shared.columns_left_out,
        )

    def __len__(self) -> int:
        return len(self.states)

    @property
    def num_episodes(self) -> int:
        """`E`."""
        return len(self.episode_lengths)

    @property
    def episode_of_row(self) -> NDArray[np.int64]:
        """`(N,)` which episode each row belongs to."""
        return np.repeat(np.arange(self.num_episodes), self.episode_lengths)

    @property
    def frames(self) -> FrameStore:
        """Frames of the only camera. Raises `DatasetError` where there isn't exactly one."""
        return self._only_camera().frames

    @property
    def frame_of_row(self) -> NDArray[np.int64]:
        """`(N,)` frame each row shows, of the only camera. Raises `DatasetError` where there isn't exactly one."""
        return self._only_camera().frame_of_row

    def _only_camera(self) -> FrameTrack:
        if len(self.cameras) != 1:
            raise DatasetError(f"the dataset has cameras {sorted(self.cameras)}: choose one with .cameras[NAME]")
        return next(iter(self.cameras.values()))
