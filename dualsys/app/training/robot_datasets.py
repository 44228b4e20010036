"""Datasets of several robots as one, for an actor of all of them.

Folders of one robot are joined as ever (`dualsys.data.joining`). Then robots are put one behind the other: states and
actions padded behind with zeros to the widest, places of targets and objects each robot's in columns of its own with
NaN elsewhere, which is what the helper losses take for nobody knows. The planner looks through one camera of each
robot, under the first one's name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.app.recording import BLOCK_POSITIONS, HAND_TARGETS, TARGET_POSITION
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.planner_camera import usual_camera
from dualsys.data.frame_cache import FrameStore, Progress
from dualsys.data.info import DatasetInfo
from dualsys.data.reader import DemonstrationDataset, FrameTrack
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError


def open_data(config: TrainConfig, progress: Progress | None = None) -> DemonstrationDataset:
    """What a training is on, of one robot or several.

    Raises:
        DatasetError: a folder is no dataset, or folders of one robot differ.
        ConfigError: robots differ in their rate or in their pictures' size, or it is unclear which camera to take.
    """
    groups = _by_robot(config.data)
    if len(groups) == 1:
        return DemonstrationDataset.open(config.data, progress=progress)
    opened = [DemonstrationDataset.open([config.data[at] for at in places], progress=progress) for places in groups]
    cameras = [_camera(config, data) for data in opened]
    _require_alike(opened, cameras)
    return _put_together(config.data, groups, opened, cameras)


def _by_robot(paths: Sequence[Path]) -> list[list[int]]:
    """Numbers of the folders of each robot, told by its name; those that don't say theirs are taken for one's."""
    groups: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        known = DatasetInfo.read(path).dualsys
        groups.setdefault("" if known is None else known.embodiment.name, []).append(number)
    return list(groups.values()) if "" not in groups else [list(range(len(paths)))]


def _camera(config: TrainConfig, data: DemonstrationDataset) -> str:
    """What the planner looks through on a robot: the one that is asked for where it has that, else the usual one."""
    if config.camera in data.cameras:
        return config.camera
    return usual_camera(data.cameras, data.cameras_left_out)


def _require_alike(opened: Sequence[DemonstrationDataset], cameras: Sequence[str]) -> None:
    first = opened[0]
    size = first.cameras[cameras[0]].frames.shape[1:3]
    for other, camera in zip(opened[1:], cameras[1:], strict=True):
        if other.fps != first.fps:
            raise ConfigError(
                f"{first.paths[0]} has {first.fps} rows a second, {other.paths[0]} {other.fps}: an actor of several "
                "robots makes all of their chunks at one rate; record them at the same"
            )
        found = other.cameras[camera].frames.shape[1:3]
        if found != size:
            raise ConfigError(
                f"pictures of {first.paths[0]} are {size[1]}x{size[0]}, of {other.paths[0]} {found[1]}x{found[0]}: "
                "record them in one size with `dualsys demos --image-size`"
            )


def _put_together(
    paths: tuple[Path, ...],
    groups: Sequence[Sequence[int]],
    opened: Sequence[DemonstrationDataset],
    cameras: Sequence[str],
) -> DemonstrationDataset:
    provenance = {
        place: data.provenance[at]
        for places, data in zip(groups, opened, strict=True)
        for at, place in enumerate(places)
    }
    lengths = np.concatenate([data.episode_lengths for data in opened])
    return DemonstrationDataset(
        paths=paths,
        fps=opened[0].fps,
        embodiment=_robot(opened[0], cameras[0]),
        robots=tuple(_robot(data, camera) for data, camera in zip(opened, cameras, strict=True)),
        robot_of_episode=np.repeat(np.arange(len(opened)), [data.num_episodes for data in opened]),
        provenance=tuple(provenance[place] for place in range(len(paths))),
        states=_padded([data.states for data in opened]),
        actions=_padded([data.actions for data in opened]),
        episode_starts=np.cumsum([0, *lengths])[:-1].astype(np.int64),
        episode_lengths=lengths,
        folder_of_episode=np.concatenate(
            [np.array(places)[data.folder_of_episode] for places, data in zip(groups, opened, strict=True)]
        ),
        instructions=tuple(text for data in opened for text in data.instructions),
        seeds=np.concatenate([data.seeds for data in opened]),
        success=np.concatenate([data.success for data in opened]),
        cameras={cameras[0]: _seen([data.cameras[camera] for data, camera in zip(opened, cameras, strict=True)])},
        extras={
            HAND_TARGETS: _side_by_side([_targets(data) for data in opened]),
            BLOCK_POSITIONS: _side_by_side([_columns(data, BLOCK_POSITIONS) for data in opened]),
        },
        cameras_left_out=_of_each(opened, [data.cameras_left_out for data in opened]),
        columns_left_out=_of_each(opened, [data.columns_left_out for data in opened]),
    )


def _robot(data: DemonstrationDataset, camera: str) -> EmbodimentSpec:
    assert data.embodiment is not None  # folders that don't say theirs are not of several
    return data.embodiment.seen_through([camera])


def _of_each(opened: Sequence[DemonstrationDataset], reasons: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {
        f"{name} of {data.paths[0].name}": reason
        for data, left_out in zip(opened, reasons, strict=True)
        for name, reason in left_out.items()
    }


def _seen(tracks: Sequence[FrameTrack]) -> FrameTrack:
    offsets = np.cumsum([0, *(len(track.frames) for track in tracks)])[:-1]
    return FrameTrack(
        frames=FrameStore([part for track in tracks for part in track.frames.parts]),
        frame_of_row=np.concatenate([track.frame_of_row + at for track, at in zip(tracks, offsets, strict=True)]),
        stamp_of_row_s=np.concatenate([track.stamp_of_row_s for track in tracks]),
    )


def _padded(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """`(N, widest)`, zeros behind."""
    widest = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, widest - part.shape[1]))) for part in parts])


def _targets(data: DemonstrationDataset) -> NDArray[Any]:
    return _columns(data, HAND_TARGETS if HAND_TARGETS in data.extras else TARGET_POSITION)


def _columns(data: DemonstrationDataset, name: str) -> NDArray[Any]:
    return data.extras.get(name, np.zeros((len(data), 0), np.float32)).reshape(len(data), -1)


def _side_by_side(parts: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """`(N, sum of widths)`: each part in columns of its own, NaN elsewhere."""
    whole = np.full((sum(map(len, parts)), sum(part.shape[1] for part in parts)), np.nan, np.float32)
    row = column = 0
    for part in parts:
        whole[row : row + len(part), column : column + part.shape[1]] = part
        row, column = row + len(part), column + part.shape[1]
    return whole
