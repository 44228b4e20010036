"""One dataset folder as arrays, every file of it checked against `meta/info.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualsys.data import layout
from dualsys.data.frame_cache import Progress, VideoRows, cached_frames
from dualsys.data.info import DatasetInfo, Feature, Provenance
from dualsys.data.tables import column_array, read_table, read_tasks
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FolderTrack:
    """One camera in one folder; see `reader.FrameTrack`."""

    frames: ImageArray
    frame_of_row: NDArray[np.int64]
    stamp_of_row_s: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FolderData:
    """One folder; see `reader.DemonstrationDataset` for what the fields mean."""

    root: Path
    fps: int
    embodiment: EmbodimentSpec | None
    provenance: Provenance | None
    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    timestamps_s: NDArray[np.float32]
    """`(N,)` from the start of each row's episode, as stored."""
    episode_lengths: NDArray[np.int64]
    instructions: tuple[str, ...]
    seeds: NDArray[np.int64]
    success: NDArray[np.bool_]
    cameras: Mapping[str, FolderTrack]
    extras: Mapping[str, NDArray[Any]]
    state_names: tuple[str, ...]
    """`(nx)`; empty where the dataset names none."""
    action_names: tuple[str, ...]
    """`(nu)`; empty where the dataset names none."""

    @property
    def episode_starts(self) -> NDArray[np.int64]:
        """`(E,)` first row."""
        return np.cumsum([0, *self.episode_lengths])[:-1].astype(np.int64)


def read_folder(root: Path, embodiment: EmbodimentSpec | None, progress: Progress | None = None) -> FolderData:
    """Read a folder. Raises `DatasetError`; see `DemonstrationDataset.open`."""
    info = DatasetInfo.read(root)
    _check_robot(root, info, embodiment)
    if info.total_episodes == 0:
        raise DatasetError(f"{root} is a dataset without episodes; record some with: dualsys demos")
    episodes = read_episodes(root, info)
    columns = _read_rows(root, info, episodes)
    instructions = read_tasks(root / layout.TASKS_PATH)
    starts = episodes["dataset_from_index"]
    task_of_episode = columns["task_index"][starts]
    if task_of_episode.max() >= len(instructions):
        raise DatasetError(
            f"{root / layout.TASKS_PATH} has {len(instructions)} tasks, a row names {task_of_episode.max()}"
        )
    count = info.total_episodes
    known = {layout.STATE, layout.ACTION, layout.IMAGE_STAMPS, *layout.INDEX_FEATURES}
    return FolderData(
        root=root,
        fps=info.fps,
        embodiment=info.dualsys.embodiment if info.dualsys is not None else embodiment,
        provenance=info.dualsys,
        states=columns[layout.STATE].reshape(len(columns[layout.STATE]), -1),  # of one joint, a column of numbers
        actions=columns[layout.ACTION].reshape(len(columns[layout.ACTION]), -1),
        timestamps_s=columns["timestamp"],
        episode_lengths=episodes["length"].astype(np.int64),
        instructions=tuple(instructions[index] for index in task_of_episode),
        seeds=episodes.get("seed", np.full(count, -1)).astype(np.int64),
        success=episodes.get("success", np.ones(count, bool)).astype(bool),
        cameras=_read_cameras(root, info, episodes, columns, progress),
        extras={name: column for name, column in columns.items() if name not in known},
        state_names=info.features[layout.STATE].component_names,
        action_names=info.features[layout.ACTION].component_names,
    )


def _check_robot(root: Path, info: DatasetInfo, embodiment: EmbodimentSpec | None) -> None:
    lacking = [name for name in (layout.STATE, layout.ACTION) if name not in info.features]
    if lacking:
        raise DatasetError(f"{root / layout.INFO_PATH} has no feature {lacking}; it has {sorted(info.features)}")
    if embodiment is None:
        return
    widths = (info.features[layout.STATE].shape, info.features[layout.ACTION].shape)
    same = widths == ((embodiment.num_states,), (embodiment.num_actions,))
    if info.dualsys is not None:
        same = same and info.dualsys.embodiment == embodiment
    if not same:
        theirs = info.dualsys.embodiment.name if info.dualsys is not None else info.robot_type
        raise DatasetError(
            f"{root} is of embodiment {theirs!r} ({widths[1][0]} joints, {widths[0][0]} states), not of "
            f"{embodiment.name!r} ({embodiment.num_actions} joints, {embodiment.num_states} states). "
            "Use a dataset recorded with this robot, or record one: dualsys demos --help"
        )


def read_episodes(root: Path, info: DatasetInfo) -> dict[str, NDArray[Any]]:
    """Columns of `meta/episodes` but for the statistics, by episode."""
    tables: list[pa.Table] = []
    while sum(table.num_rows for table in tables) < info.total_episodes:
        chunk_index, file_index = layout.numbered_file(len(tables), info.chunks_size)
        path = root / layout.EPISODES_PATH.format(chunk_index=chunk_index, file_index=file_index)
        table = read_table(path, without="stats/")
        tables.append(table.drop_columns([name for name in ("tasks",) if name in table.column_names]))
    table = pa.concat_tables(tables, promote_options="default").slice(0, info.total_episodes)
    episodes = {name: column_array(table, name) for name in table.column_names}
    needed = {"episode_index", "length", "dataset_from_index", "data/chunk_index", "data/file_index"}
    lacking = sorted(needed - set(episodes))
    if lacking:
        raise DatasetError(f"{root}/meta/episodes has no column {lacking}; copy or record the dataset again")
    ends = np.cumsum(episodes["length"])
    if ends[-1] != info.total_frames or np.any(episodes["dataset_from_index"] != ends - episodes["length"]):
        raise DatasetError(f"{root}/meta/episodes does not add up to the {info.total_frames} rows of meta/info.json")
    return episodes


def _read_rows(root: Path, info: DatasetInfo, episodes: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = [name for name, feature in info.features.items() if feature.dtype not in ("video", "image", "string")]
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    places = np.stack([episodes["data/chunk_index"], episodes["data/file_index"]], axis=1)
    for chunk_index, file_index in np.unique(places, axis=0):
        path = root / info.data_path.format(chunk_index=int(chunk_index), file_index=int(file_index))
        table = read_table(path, names)
        mine = np.all(places == (chunk_index, file_index), axis=1)
        if table.num_rows != episodes["length"][mine].sum():
            raise DatasetError(
                f"{path} has {table.num_rows} rows, meta/episodes says {episodes['length'][mine].sum()}: it is cut "
                "short or from another recording; copy or record the dataset again"
            )
        for name in names:
            parts[name].append(_shaped(path, name, info.features[name], column_array(table, name)))
    columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    if np.any(columns["episode_index"] != np.repeat(episodes["episode_index"], episodes["length"])):
        raise DatasetError(f"{root}: rows are not in the order of meta/episodes; copy or record the dataset again")
    return columns


def _shaped(path: Path, name: str, feature: Feature, values: NDArray[Any]) -> NDArray[Any]:
    expected = () if feature.shape == (1,) and values.ndim == 1 else feature.shape
    if values.shape[1:] != expected:
        raise DatasetError(f"{path}: column {name} has shape {values.shape[1:]}, meta/info.json says {feature.shape}")
    return values.astype(feature.dtype, copy=False)


def _read_cameras(
    root: Path,
    info: DatasetInfo,
    episodes: dict[str, NDArray[Any]],
    columns: dict[str, NDArray[Any]],
    progress: Progress | None,
) -> dict[str, FolderTrack]:
    keys = [name for name, feature in info.features.items() if feature.dtype == "video"]
    stamps = columns.get(layout.IMAGE_STAMPS, columns["timestamp"][:, None])
    stamps = stamps.reshape(len(stamps), -1)
    order = _stamp_names(info)
    tracks = {}
    for key in keys:
        camera = key.removeprefix("observation.images.")
        stamp = stamps[:, order.index(camera)] if camera in order else columns["timestamp"]
        new = np.diff(stamp, prepend=np.float32(-1)) != 0
        new[episodes["dataset_from_index"]] = True
        tracks[camera] = FolderTrack(
            frames=cached_frames(
                root,
                key,
                _videos(root, info, key, episodes, new),
                info.features[key].shape,
                fps=info.fps,
                progress=progress,
            ),
            frame_of_row=np.cumsum(new) - 1,
            stamp_of_row_s=stamp,
        )
    return tracks


def _stamp_names(info: DatasetInfo) -> list[str]:
    feature = info.features.get(layout.IMAGE_STAMPS)
    return list(feature.names) if feature is not None and isinstance(feature.names, list) else []


def _videos(
    root: Path, info: DatasetInfo, key: str, episodes: dict[str, NDArray[Any]], new: NDArray[np.bool_]
) -> list[VideoRows]:
    """Rows that show a new frame, by video file, as positions in that file."""
    names = [f"videos/{key}/{part}" for part in ("chunk_index", "file_index", "from_timestamp")]
    lacking = [name for name in names if name not in episodes]
    if lacking or info.video_path is None:
        raise DatasetError(f"{root}/meta/episodes does not say where the videos of {key} are (no {lacking})")
    chunk, file, start_s = (episodes[name] for name in names)
    videos = []
    for chunk_index, file_index in np.unique(np.stack([chunk, file], axis=1), axis=0):
        rows = []
        for episode in np.flatnonzero((chunk == chunk_index) & (file == file_index)):
            first = episodes["dataset_from_index"][episode]
            shown = np.flatnonzero(new[first : first + episodes["length"][episode]])
            rows.append(shown + round(start_s[episode] * info.fps))
        template = info.video_path
        path = root / template.format(video_key=key, chunk_index=int(chunk_index), file_index=int(file_index))
        videos.append(VideoRows(path=path, rows=np.concatenate(rows)))
    return videos
