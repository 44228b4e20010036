"""LeRobot v2.1 (and v2.0, which lies the same): a parquet file and a video a camera for each episode.

    meta/info.json, episodes.jsonl, tasks.jsonl
    data/chunk-000/episode_000000.parquet
    videos/chunk-000/observation.images.X/episode_000000.mp4

Source: huggingface/lerobot 0.3.3, src/lerobot/datasets/{utils,lerobot_dataset}.py, format "v2.1".
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualsys.data import layout
from dualsys.data.foreign.lerobot_files import LeRobotColumns, embedded_pictures, video_path
from dualsys.data.foreign.source import ForeignEpisode
from dualsys.data.info import Feature
from dualsys.data.tables import read_table
from dualsys.data.video import decode_frames
from dualsys.errors import DatasetError
from dualsys.files import read_json
from dualsys.messages import ImageArray

_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_M = TypeVar("_M", bound=BaseModel)
_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


class InfoV21(BaseModel):
    """Keys of `meta/info.json` that are read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    total_episodes: int = Field(ge=0)
    chunks_size: int = Field(default=1000, gt=0)
    fps: int = Field(gt=0)
    robot_type: str | None = None
    data_path: str = _DATA
    video_path: str | None = _VIDEO
    features: dict[str, Feature]


class EpisodeV21(BaseModel):
    """A line of `meta/episodes.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    episode_index: int = Field(ge=0)
    tasks: list[str] = []
    length: int = Field(gt=0)


@final
class LeRobotV21Source:
    """A folder of that format."""

    format = "lerobot-v2.1"
    action_representation: Literal["joint"] = "joint"

    def __init__(self, path: Path, state_keys: tuple[str, ...] = ()) -> None:
        """Read `meta/`. Raises `DatasetError` where it does not hold together."""
        self._root = path
        where = path / layout.INFO_PATH
        self._info = _validated(InfoV21, read_json(where), where)
        listed = path / "meta/episodes.jsonl"
        self._episodes = [_validated(EpisodeV21, entry, listed) for entry in _lines(listed)]
        if len(self._episodes) != self._info.total_episodes:
            raise DatasetError(
                f"{listed} has {len(self._episodes)} episodes, meta/info.json says {self._info.total_episodes}: "
                "copy the dataset again"
            )
        self._columns = LeRobotColumns(
            features=self._info.features, state_keys=state_keys or (layout.STATE,), where=str(where)
        )
        self.fps: int | None = self._info.fps
        self.robot = self._info.robot_type or ""
        self.state_names = self._columns.state_names
        self.action_names = self._columns.action_names
        self.cameras = tuple(sorted(self._columns.cameras))
        self.notes: Mapping[str, Any] = {"state_keys": list(self._columns.state_keys)}

    def __len__(self) -> int:
        return len(self._episodes)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        table = self._table(index, self._columns.vectors)
        return self._columns.episode(table, self._data_path(index), " ".join(self._episodes[index].tasks[:1]))

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode. Raises `DatasetError`."""
        key = self._columns.cameras[camera]
        if self._info.features[key].dtype == "image":
            return embedded_pictures(self._table(index, [key]), key, str(self._data_path(index)))
        path = video_path(self._root, self._info.video_path, {**self._places(index), "video_key": key})
        rows = np.arange(self._episodes[index].length)
        return np.stack(list(decode_frames(path, rows, self._info.fps)))

    def _table(self, index: int, names: list[str]) -> pa.Table:
        path = self._data_path(index)
        table = read_table(path, names)
        if table.num_rows != self._episodes[index].length:
            raise DatasetError(
                f"{path} has {table.num_rows} rows, meta/episodes.jsonl says {self._episodes[index].length}: it is cut "
                "short or from another recording; copy it again, or leave the episode out with --skip"
            )
        return table

    def _data_path(self, index: int) -> Path:
        return video_path(self._root, self._info.data_path, self._places(index))

    def _places(self, index: int) -> dict[str, int]:
        number = self._episodes[index].episode_index
        return {"episode_chunk": number // self._info.chunks_size, "episode_index": number}


def _lines(path: Path) -> list[Any]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing; copy the dataset again")
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}); copy the dataset again") from error


def _validated(model: type[_M], value: Any, where: Path) -> _M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(f"{where} does not fit: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
