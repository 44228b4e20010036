"""Adding staged episodes to a dataset's files: rows, videos, then what is known about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualsys.data import layout
from dualsys.data.episode import StagedEpisode
from dualsys.data.info import DatasetInfo, Feature
from dualsys.data.summaries import NAMES, Statistics, column_statistics, pooled_statistics
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
from dualsys.errors import DatasetError

_MB = 1024**2


@dataclass(slots=True, kw_only=True)
class Append:
    """Episodes on their way into a dataset. Call the `write_` methods in the order they stand."""

    root: Path
    fps: int
    cameras: tuple[str, ...]
    before: DatasetInfo | None
    """The dataset as it is; None for a new one."""
    tasks: list[str]
    episodes: list[StagedEpisode]
    rows: list[dict[str, Any]]
    """Of `meta/episodes`, filled step by step."""
    statistics: list[dict[str, Statistics]]
    """By episode and feature."""

    @classmethod
    def load(
        cls, root: Path, before: DatasetInfo | None, fps: int, cameras: tuple[str, ...], seeds: Sequence[int]
    ) -> Self:
        """Take staged episodes in the order of `seeds`. Raises `DatasetError`: none given, or one damaged."""
        if not seeds:
            raise DatasetError(f"{root}: no episode to write")
        tasks = [] if before is None else read_tasks(root / layout.TASKS_PATH)[: before.total_tasks]
        known = set(tasks)
        row = 0 if before is None else before.total_frames
        first = 0 if before is None else before.total_episodes
        episodes, rows = [], []
        for index, seed in enumerate(seeds, start=first):
            episode = StagedEpisode.load(root / layout.STAGING_DIR, seed)
            if episode.instruction not in known:
                tasks.append(episode.instruction)
                known.add(episode.instruction)
            rows.append(
                {
                    "episode_index": index,
                    "tasks": [episode.instruction],
                    "length": episode.length,
                    "dataset_from_index": row,
                    "dataset_to_index": row + episode.length,
                }
            )
            episodes.append(episode)
            row += episode.length
        return cls(
            root=root, fps=fps, cameras=cameras, before=before, tasks=tasks, episodes=episodes, rows=rows, statistics=[]
        )

    def write_rows(self, features: Mapping[str, Feature]) -> None:
        """`data/`: files of at most `DATA_FILE_MB`."""
        schema = row_schema(features)
        task_index = {task: index for index, task in enumerate(self.tasks)}
        number = self._first_file("data", layout.DATA_PATH)
        pending: list[pa.Table] = []
        size = 0
        for episode, entry in zip(self.episodes, self.rows, strict=True):
            columns = self._columns(episode, entry, task_index[episode.instruction])
            table = row_table(schema, columns)
            if pending and size + table.nbytes > layout.DATA_FILE_MB * _MB:
                write_tables(_numbered(self.root, layout.DATA_PATH, number), pending)
                number, pending, size = number + 1, [], 0
            pending.append(table)
            size += table.nbytes
            entry["data/chunk_index"], entry["data/file_index"] = layout.numbered_file(number)
            found = {name: column_statistics(columns[name]) for name in schema.names}
            found |= {layout.image_key(name): entry for name, entry in episode.image_statistics.items()}
            self.statistics.append(found)
        write_tables(_numbered(self.root, layout.DATA_PATH, number), pending)

    def write_videos(self) -> None:
        """`videos/`: the episodes' videos one after the other."""
        for camera in self.cameras:
            key = layout.image_key(camera)
            template = layout.VIDEO_PATH.replace("{video_key}", key)
            number = self._first_file(f"videos/{key}", template)
            for group in self._video_groups(camera):
                sources = [self.episodes[i].video(camera) for i in group]
                lengths = [self.episodes[i].length for i in group]
                concatenate_videos(_numbered(self.root, template, number), sources, lengths, self.fps)
                chunk_index, file_index = layout.numbered_file(number)
                start = 0
                for i in group:
                    stop = start + self.episodes[i].length
                    self.rows[i] |= {
                        f"videos/{key}/chunk_index": chunk_index,
                        f"videos/{key}/file_index": file_index,
                        f"videos/{key}/from_timestamp": start / self.fps,
                        f"videos/{key}/to_timestamp": stop / self.fps,
                    }
                    start = stop
                number += 1

    def write_meta(self) -> None:
        """`meta/episodes` and `meta/tasks.parquet`."""
        number = self._first_file("meta/episodes", layout.EPISODES_PATH)
        chunk_index, file_index = layout.numbered_file(number)
        place = {"meta/episodes/chunk_index": chunk_index, "meta/episodes/file_index": file_index}
        table = pa.Table.from_pylist(
            [
                entry | {"seed": episode.seed, "success": episode.success} | statistics_columns(found) | place
                for episode, entry, found in zip(self.episodes, self.rows, self.statistics, strict=True)
            ]
        )
        write_tables(_numbered(self.root, layout.EPISODES_PATH, number), [table])
        write_tables(self.root / layout.TASKS_PATH, [task_table(self.tasks)])

    def dataset_statistics(self, features: Mapping[str, Feature]) -> dict[str, Statistics]:
        """Of the whole dataset, once all is written: exact for columns, read back from files; pooled for images."""
        data = list(_existing(self.root, layout.DATA_PATH))
        episodes = list(_existing(self.root, layout.EPISODES_PATH))
        found: dict[str, Statistics] = {}
        for name, feature in features.items():
            if feature.dtype == "video":
                found[name] = pooled_statistics([part for path in episodes for part in _stored(path, name)])
            else:
                parts = [column_array(read_table(path, [name]), name) for path in data]
                found[name] = column_statistics(np.concatenate(parts))
        return found

    def _columns(self, episode: StagedEpisode, entry: Mapping[str, Any], task_index: int) -> dict[str, NDArray[Any]]:
        rows = np.arange(episode.length)
        columns: dict[str, NDArray[Any]] = {
            layout.STATE: episode.columns["state"],
            layout.ACTION: episode.columns["action"],
            "timestamp": (rows / self.fps).astype(np.float32),
            "frame_index": rows,
            "episode_index": np.full(episode.length, entry["episode_index"]),
            "index": entry["dataset_from_index"] + rows,
            "task_index": np.full(episode.length, task_index),
        }
        if self.cameras:
            stamps = [episode.columns[f"stamp/{camera}"] for camera in self.cameras]
            columns[layout.IMAGE_STAMPS] = np.stack(stamps, axis=1).astype(np.float32)
        prefix = "extra/"
        return columns | {k.removeprefix(prefix): v for k, v in episode.columns.items() if k.startswith(prefix)}

    def _video_groups(self, camera: str) -> Iterator[list[int]]:
        """Episodes of each file: as many as its size and duration allow."""
        group: list[int] = []
        size, rows = 0, 0
        for i, episode in enumerate(self.episodes):
            more = episode.video(camera).stat().st_size
            full = size + more > layout.VIDEO_FILE_MB * _MB
            if group and (full or rows + episode.length > layout.VIDEO_FILE_SECONDS * self.fps):
                yield group
                group, size, rows = [], 0, 0
            group.append(i)
            size, rows = size + more, rows + episode.length
        yield group

    def _first_file(self, column: str, template: str) -> int:
        """Number of the first file to write: files already in the dataset are never touched.

        Files from there on are left from an append that was killed; they are deleted, since LeRobot reads every file.
        """
        number = 0
        if self.before is not None:
            names = [f"{column}/chunk_index", f"{column}/file_index"]
            seen = 0
            for path in _existing(self.root, layout.EPISODES_PATH):
                if seen >= self.before.total_episodes:
                    break
                table = read_table(path, names)
                places = zip(*(table[name].to_pylist() for name in names), strict=True)
                number = max(number, *(layout.file_number(*place) + 1 for place in places))
                seen += table.num_rows
        for path in list(_existing(self.root, template, number)):
            path.unlink()
        return number


def _numbered(root: Path, template: str, number: int) -> Path:
    chunk_index, file_index = layout.numbered_file(number)
    return root / template.format(chunk_index=chunk_index, file_index=file_index)


def _existing(root: Path, template: str, number: int = 0) -> Iterator[Path]:
    while (path := _numbered(root, template, number)).is_file():
        yield path
        number += 1


def _stored(path: Path, feature: str) -> list[Statistics]:
    """Statistics of a feature by episode, from `meta/episodes`."""
    table = read_table(path, [f"stats/{feature}/{name}" for name in NAMES])
    columns = {name: table[f"stats/{feature}/{name}"].to_pylist() for name in NAMES}
    return [{name: np.asarray(columns[name][i], np.float64) for name in NAMES} for i in range(table.num_rows)]
