"""Writing a dataset: episodes are staged one by one, then become part of the dataset together.

    writer = DatasetWriter(folder, embodiment, fps=50)
    writer.stage(episode)                        # any order, any process; a killed recording keeps what is staged
    writer.finish(seeds, provenance)             # appends these episodes in this order

`finish` writes new files only and replaces `meta/info.json` last: killed half-way, the folder still reads as it was
before, and the next `finish` overwrites the leftovers. What it writes depends on the episodes alone, not on who staged
them or when.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualsys.data import layout
from dualsys.data.episode import Episode, StagedEpisode
from dualsys.data.files import write_json
from dualsys.data.info import DatasetInfo, Feature, Provenance, make_features
from dualsys.data.statistics import Statistics, column_statistics, pooled_statistics
from dualsys.data.tables import (
    column_array,
    read_table,
    read_tasks,
    row_schema,
    row_table,
    statistics_columns,
    task_table,
    write_tables,
)
from dualsys.data.video import concatenate_videos
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError

_MB = 1024**2


@dataclass(slots=True, kw_only=True)
class _Append:
    """What is being added by one `finish`."""

    first_episode: int
    first_row: int
    tasks: list[str]
    episodes: list[StagedEpisode] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of `meta/episodes`."""


class DatasetWriter:
    """Writes a dataset folder. Not for two processes at once, except for `stage`."""

    def __init__(self, root: Path, embodiment: EmbodimentSpec, *, fps: int) -> None:
        """Open a folder for writing; an existing dataset is appended to.

        Raises:
            DatasetError: the folder holds a damaged dataset, one of another robot or rate.
        """
        self.root = root
        self.embodiment = embodiment
        self.fps = fps
        self.info: DatasetInfo | None = None
        if (root / layout.INFO_PATH).is_file():
            self.info = DatasetInfo.read(root)
            self._require_same(self.info)
        elif (
            root.is_dir()
            and any(path.name != layout.STAGING_DIR for path in root.iterdir())
            and not self.staged_seeds()
        ):
            raise DatasetError(f"{root} exists and is no dataset; give an empty or new folder")

    @property
    def staging(self) -> Path:
        """Folder of the episodes not yet in the dataset."""
        return self.root / layout.STAGING_DIR

    @property
    def num_episodes(self) -> int:
        """Episodes in the dataset, staged ones not counted."""
        return 0 if self.info is None else self.info.total_episodes

    def staged_seeds(self) -> list[int]:
        """Seeds of the staged episodes, ascending."""
        return StagedEpisode.seeds(self.staging)

    def stage(self, episode: Episode) -> None:
        """Store an episode for a later `finish`. Raises `DatasetError` where it doesn't fit the embodiment."""
        shapes = (episode.states.shape[1:], episode.actions.shape[1:], sorted(episode.cameras))
        spec = self.embodiment
        expected = ((spec.num_states,), (spec.num_actions,), sorted(camera.name for camera in spec.cameras))
        if shapes != expected:
            raise DatasetError(
                f"episode of seed {episode.seed} has state, action, cameras {shapes}, expected {expected}"
            )
        StagedEpisode.save(self.staging, episode, self.fps)

    def finish(self, seeds: Sequence[int], provenance: Provenance) -> DatasetInfo:
        """Append the staged episodes of these seeds in this order, and delete the staging folder.

        Raises:
            DatasetError: a staged episode is damaged, or there is none.
        """
        append = self._load(seeds)
        features = self.info.features if self.info is not None else self._features(append.episodes[0])
        self._write_rows(append, features)
        self._write_videos(append)
        self._write_meta(append)
        statistics = self._statistics(append, features)
        write_json(
            self.root / layout.STATS_PATH,
            {
                name: {
                    key: value.astype(int).tolist() if key == "count" else value.tolist()
                    for key, value in entry.items()
                }
                for name, entry in statistics.items()
            },
        )
        total = append.first_episode + len(append.episodes)
        info = DatasetInfo(
            codebase_version=layout.CODEBASE_VERSION,
            robot_type=self.embodiment.name,
            total_episodes=total,
            total_frames=append.rows[-1]["dataset_to_index"],
            total_tasks=len(append.tasks),
            fps=self.fps,
            splits={"train": f"0:{total}"},
            video_path=layout.VIDEO_PATH if self.embodiment.cameras else None,
            features=features,
            dualsys=provenance,
        )
        info.write(self.root)
        self.info = info
        shutil.rmtree(self.staging)
        return info

    def _load(self, seeds: Sequence[int]) -> _Append:
        if not seeds:
            raise DatasetError(f"{self.root}: no episode to write")
        tasks = read_tasks(self.root / layout.TASKS_PATH)[: self.info.total_tasks] if self.info is not None else []
        append = _Append(
            first_episode=self.num_episodes,
            first_row=self.info.total_frames if self.info is not None else 0,
            tasks=tasks,
        )
        row = append.first_row
        for offset, seed in enumerate(seeds):
            episode = StagedEpisode.load(self.staging, seed)
            if episode.instruction not in tasks:
                tasks.append(episode.instruction)
            append.episodes.append(episode)
            append.rows.append(
                {
                    "episode_index": append.first_episode + offset,
                    "tasks": [episode.instruction],
                    "length": episode.length,
                    "dataset_from_index": row,
                    "dataset_to_index": row + episode.length,
                }
            )
            row += episode.length
        return append

    def _write_rows(self, append: _Append, features: dict[str, Feature]) -> None:
        schema = row_schema(features)
        number = self._next_file("data/chunk_index", "data/file_index")
        pending: list[pa.Table] = []
        size = 0
        for episode, entry in zip(append.episodes, append.rows, strict=True):
            columns = self._columns(episode, entry, append.tasks)
            table = row_table(schema, columns)
            if pending and size + table.nbytes > layout.DATA_FILE_MB * _MB:
                write_tables(self._path(layout.DATA_PATH, number), pending)
                number, pending, size = number + 1, [], 0
            pending.append(table)
            size += table.nbytes
            entry["data/chunk_index"], entry["data/file_index"] = layout.numbered_file(number)
            statistics = {name: column_statistics(columns[name]) for name in schema.names}
            statistics |= {layout.image_key(name): found for name, found in episode.image_statistics.items()}
            entry["statistics"] = statistics
        write_tables(self._path(layout.DATA_PATH, number), pending)

    def _columns(self, episode: StagedEpisode, entry: dict[str, Any], tasks: list[str]) -> dict[str, NDArray[Any]]:
        rows = np.arange(episode.length)
        columns: dict[str, NDArray[Any]] = {
            layout.STATE: episode.columns["state"],
            layout.ACTION: episode.columns["action"],
            "timestamp": (rows / self.fps).astype(np.float32),
            "frame_index": rows,
            "episode_index": np.full(episode.length, entry["episode_index"]),
            "index": entry["dataset_from_index"] + rows,
            "task_index": np.full(episode.length, tasks.index(episode.instruction)),
        }
        if self.embodiment.cameras:
            stamps = [episode.columns[f"stamp/{camera.name}"] for camera in self.embodiment.cameras]
            columns[layout.IMAGE_STAMPS] = np.stack(stamps, axis=1).astype(np.float32)
        prefix = "extra/"
        return columns | {k.removeprefix(prefix): v for k, v in episode.columns.items() if k.startswith(prefix)}

    def _write_videos(self, append: _Append) -> None:
        for camera in self.embodiment.cameras:
            key = layout.image_key(camera.name)
            number = self._next_file(f"videos/{key}/chunk_index", f"videos/{key}/file_index")
            for group in self._video_groups(append, camera.name):
                chunk_index, file_index = layout.numbered_file(number)
                sources = [append.episodes[i].video(camera.name) for i in group]
                template = layout.VIDEO_PATH.replace("{video_key}", key)
                concatenate_videos(self._path(template, number), sources, self.fps)
                start = 0
                for i in group:
                    stop = start + append.episodes[i].length
                    append.rows[i] |= {
                        f"videos/{key}/chunk_index": chunk_index,
                        f"videos/{key}/file_index": file_index,
                        f"videos/{key}/from_timestamp": start / self.fps,
                        f"videos/{key}/to_timestamp": stop / self.fps,
                    }
                    start = stop
                number += 1

    def _video_groups(self, append: _Append, camera: str) -> Iterator[list[int]]:
        """Episodes of each file: as many as its size and duration allow."""
        group: list[int] = []
        size, rows = 0, 0
        for i, episode in enumerate(append.episodes):
            more = episode.video(camera).stat().st_size
            full = size + more > layout.VIDEO_FILE_MB * _MB
            if group and (full or rows + episode.length > layout.VIDEO_FILE_SECONDS * self.fps):
                yield group
                group, size, rows = [], 0, 0
            group.append(i)
            size, rows = size + more, rows + episode.length
        yield group

    def _write_meta(self, append: _Append) -> None:
        number = self._next_file("meta/episodes/chunk_index", "meta/episodes/file_index")
        chunk_index, file_index = layout.numbered_file(number)
        rows = []
        for episode, entry in zip(append.episodes, append.rows, strict=True):
            plain = {name: value for name, value in entry.items() if name != "statistics"}
            ours = {"seed": episode.seed, "success": episode.success}
            place = {"meta/episodes/chunk_index": chunk_index, "meta/episodes/file_index": file_index}
            rows.append(plain | ours | statistics_columns(entry["statistics"]) | place)
        write_tables(self._path(layout.EPISODES_PATH, number), [pa.Table.from_pylist(rows)])
        write_tables(self.root / layout.TASKS_PATH, [task_table(append.tasks)])

    def _statistics(self, append: _Append, features: dict[str, Feature]) -> dict[str, Statistics]:
        """Of the whole dataset: exact for columns, read back from the files; pooled for images."""
        number = layout.file_number(append.rows[-1]["data/chunk_index"], append.rows[-1]["data/file_index"])
        files = [self._path(layout.DATA_PATH, n) for n in range(number + 1)]
        number = self._next_file("meta/episodes/chunk_index", "meta/episodes/file_index")
        episode_files = [self._path(layout.EPISODES_PATH, n) for n in range(number + 1)]
        found: dict[str, Statistics] = {}
        for name, feature in features.items():
            if feature.dtype == "video":
                found[name] = pooled_statistics(_image_statistics(episode_files, name))
            else:
                parts = [column_array(read_table(path, [name]), name) for path in files]
                found[name] = column_statistics(np.concatenate(parts))
        return found

    def _next_file(self, chunk_column: str, file_column: str) -> int:
        """Number of the first file this `finish` may write: appending never touches a file already there."""
        if self.info is None:
            return 0
        last = -1
        episode_number = 0
        seen = 0
        while seen < self.info.total_episodes:
            table = read_table(self._path(layout.EPISODES_PATH, episode_number), [chunk_column, file_column])
            pairs = zip(table[chunk_column].to_pylist(), table[file_column].to_pylist(), strict=True)
            last = max(last, *(layout.file_number(chunk, file) for chunk, file in pairs))
            seen += table.num_rows
            episode_number += 1
        return last + 1

    def _path(self, template: str, number: int) -> Path:
        chunk_index, file_index = layout.numbered_file(number)
        return self.root / template.format(chunk_index=chunk_index, file_index=file_index)

    def _features(self, episode: StagedEpisode) -> dict[str, Feature]:
        extras = {
            name.removeprefix("extra/"): 1 if column.ndim == 1 else column.shape[1]
            for name, column in episode.columns.items()
            if name.startswith("extra/")
        }
        return make_features(self.embodiment, extras, self.fps)

    def _require_same(self, info: DatasetInfo) -> None:
        if info.dualsys is None:
            raise DatasetError(f"{self.root} was not written by dualsys and cannot be appended to; give another folder")
        if info.dualsys.embodiment != self.embodiment or info.fps != self.fps:
            theirs = info.dualsys.embodiment
            raise DatasetError(
                f"{self.root} holds {info.fps} Hz data of embodiment {theirs.name!r} ({theirs.fingerprint()}), not "
                f"{self.fps} Hz of {self.embodiment.name!r} ({self.embodiment.fingerprint()}); give another folder"
            )


def _image_statistics(files: Sequence[Path], feature: str) -> list[Statistics]:
    from dualsys.data.statistics import NAMES

    parts: list[Statistics] = []
    for path in files:
        table = read_table(path, [f"stats/{feature}/{name}" for name in NAMES])
        columns = {name: table[f"stats/{feature}/{name}"].to_pylist() for name in NAMES}
        parts += [{name: np.asarray(columns[name][i], np.float64) for name in NAMES} for i in range(table.num_rows)]
    return parts
