"""LeRobot v3.0 as LeRobot writes it: `dualsys.data.layout` draws where everything lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import pyarrow as pa

from dualsys.data import layout
from dualsys.data.folder import read_episodes
from dualsys.data.foreign.lerobot_files import LeRobotColumns, embedded_pictures, video_path
from dualsys.data.foreign.source import ForeignEpisode
from dualsys.data.info import DatasetInfo
from dualsys.data.tables import column_array, read_table, read_tasks
from dualsys.data.video import decode_frames
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray

_PLACE = ("chunk_index", "file_index", "from_timestamp")


@final
class LeRobotV3Source:
    """A folder of that format that dualsys did not write."""

    format = "lerobot-v3"
    action_representation: Literal["joint"] = "joint"

    def __init__(self, path: Path, state_keys: tuple[str, ...] = ()) -> None:
        """Read `meta/`. Raises `DatasetError` where it does not hold together."""
        self._root = path
        self._info = DatasetInfo.read(path)
        if self._info.dualsys is not None:
            raise DatasetError(f"{path} was written by dualsys and needs no import: use it as it is")
        if self._info.total_episodes == 0:
            raise DatasetError(f"{path} is a dataset without episodes")
        self._columns = LeRobotColumns(
            features=self._info.features, state_keys=state_keys or (layout.STATE,), where=str(path / layout.INFO_PATH)
        )
        self._episodes = read_episodes(path, self._info)
        self._last: dict[tuple[str, ...], tuple[Path, pa.Table]] = {}
        self._tasks = read_tasks(path / layout.TASKS_PATH)
        self.fps: int | None = self._info.fps
        self.robot = self._info.robot_type or ""
        self.state_names = self._columns.state_names
        self.action_names = self._columns.action_names
        self.cameras = tuple(sorted(self._columns.cameras))
        self.notes: Mapping[str, Any] = {"state_keys": list(self._columns.state_keys)}

    def __len__(self) -> int:
        return self._info.total_episodes

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        path = self._data_path(index)
        table = self._table(index, [*self._columns.vectors, "task_index"])
        task = int(column_array(table, "task_index")[0])
        if task >= len(self._tasks):
            raise DatasetError(f"{self._root / layout.TASKS_PATH} has {len(self._tasks)} tasks, {path} names {task}")
        return self._columns.episode(table, path, self._tasks[task])

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode. Raises `DatasetError`."""
        key = self._columns.cameras[camera]
        if self._info.features[key].dtype == "image":
            return embedded_pictures(self._table(index, [key]), key, str(self._data_path(index)))
        lacking = [name for name in _PLACE if self._place(key, name) is None]
        if lacking:
            raise DatasetError(f"{self._root}/meta/episodes does not say where the videos of {key} are (no {lacking})")
        chunk, file, start_s = (self._episodes[f"videos/{key}/{n}"][index] for n in _PLACE)
        places = {"video_key": key, "chunk_index": int(chunk), "file_index": int(file)}
        first = round(float(start_s) * self._info.fps)
        rows = first + np.arange(int(self._episodes["length"][index]))
        path = video_path(self._root, self._info.video_path, places)
        return np.stack(list(decode_frames(path, rows, self._info.fps)))

    def _place(self, key: str, name: str) -> Any:
        return self._episodes.get(f"videos/{key}/{name}")

    def _table(self, index: int, names: list[str]) -> pa.Table:
        """Rows of an episode, out of a file of many."""
        path = self._data_path(index)
        mine = np.flatnonzero(
            (self._episodes["data/chunk_index"] == self._episodes["data/chunk_index"][index])
            & (self._episodes["data/file_index"] == self._episodes["data/file_index"][index])
        )
        starts, lengths = self._episodes["dataset_from_index"], self._episodes["length"]
        table = self._whole(path, (*names, "episode_index"))
        if table.num_rows != lengths[mine].sum():
            raise DatasetError(
                f"{path} has {table.num_rows} rows, meta/episodes says {lengths[mine].sum()}: it is cut short or from "
                "another recording; copy the dataset again"
            )
        part = table.slice(int(starts[index] - starts[mine[0]]), int(lengths[index]))
        if np.any(column_array(part, "episode_index") != self._episodes["episode_index"][index]):
            raise DatasetError(f"{path}: rows are not in the order of meta/episodes; copy the dataset again")
        return part

    def _whole(self, path: Path, names: tuple[str, ...]) -> pa.Table:
        """A file's columns; episodes come in order, so the last file read for these is mostly the next one, too."""
        if names not in self._last or self._last[names][0] != path:
            self._last[names] = path, read_table(path, names)
        return self._last[names][1]

    def _data_path(self, index: int) -> Path:
        places = {name: int(self._episodes[f"data/{name}"][index]) for name in ("chunk_index", "file_index")}
        return video_path(self._root, self._info.data_path, places)
