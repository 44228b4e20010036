"""The folder is what LeRobot v3.0 reads: compared with a description written by hand from LeRobot's sources."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualsys.data.info import DatasetInfo

Write = Callable[..., DatasetInfo]
GOLDEN = json.loads((Path(__file__).parent / "lerobot_v3.json").read_text())
KEY = "observation.images.head"


def _described(root: Path, path: str) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(root / path)}


def test_files(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1, 2))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == GOLDEN["files"]


def test_info(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1, 2))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    ours = info.pop("dualsys")
    assert ours["embodiment"]["name"] == "tiny"
    assert info == GOLDEN["info"]


def test_parquet_schemas(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1, 2))
    for path, schema in GOLDEN["schemas"].items():
        found = _described(tmp_path, path)
        assert {name: kind for name, kind in found.items() if not name.startswith("stats/")} == schema, path


def test_statistics_columns_of_episodes(tmp_path: Path, write: Write) -> None:
    info = write(tmp_path, (0, 1, 2))
    found = _described(tmp_path, "meta/episodes/chunk-000/file-000.parquet")
    kinds = GOLDEN["statistics"]
    for feature in info.features:
        for name in kinds["names"]:
            kind = "count" if name == "count" else "image" if feature == KEY else "vector"
            assert found[f"stats/{feature}/{name}"] == kinds[kind], (feature, name)


def test_rows_and_episodes_agree(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1, 2))
    rows = pq.read_table(tmp_path / "data/chunk-000/file-000.parquet").to_pylist()
    episodes = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    tasks = pq.read_table(tmp_path / "meta/tasks.parquet").to_pylist()
    by_index = {task["task_index"]: task["task"] for task in tasks}
    assert [row["index"] for row in rows] == list(range(63))
    for episode in episodes:
        mine = rows[episode["dataset_from_index"] : episode["dataset_to_index"]]
        assert len(mine) == episode["length"] == 20 + episode["episode_index"]
        assert {row["episode_index"] for row in mine} == {episode["episode_index"]}
        assert [row["frame_index"] for row in mine] == list(range(episode["length"]))
        assert {by_index[row["task_index"]] for row in mine} == set(episode["tasks"])
        assert all(abs(row["timestamp"] - row["frame_index"] / 50) < 1e-6 for row in mine)
        duration_s = episode[f"videos/{KEY}/to_timestamp"] - episode[f"videos/{KEY}/from_timestamp"]
        assert abs(duration_s - episode["length"] / 50) < 1e-9
        assert abs(episode[f"videos/{KEY}/from_timestamp"] - episode["dataset_from_index"] / 50) < 1e-9


def test_video_has_one_frame_a_row_on_the_grid(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1, 2))
    with av.open(str(tmp_path / f"videos/{KEY}/chunk-000/file-000.mp4")) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.average_rate == 50
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv444p")
    times = [float(frame.pts * frame.time_base) for frame in frames if frame.pts is not None and frame.time_base]
    assert len(frames) == 63
    assert all(abs(time - i / 50) < 1e-9 for i, time in enumerate(times))
    new = [start + row for start, length in ((0, 20), (20, 21), (41, 22)) for row in range(0, length, 5)]
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == new


def test_tasks_carry_the_pandas_index(tmp_path: Path, write: Write) -> None:
    # LeRobot looks tasks up as `frame.loc[task]`: the instruction must come back as pandas' index.
    write(tmp_path, (0, 1, 2))
    pandas = json.loads(pq.read_schema(tmp_path / "meta/tasks.parquet").metadata[b"pandas"])
    assert pandas["index_columns"] == ["task"]
    assert {column["name"] for column in pandas["columns"]} == {"task", "task_index"}


def test_statistics_of_every_feature(tmp_path: Path, write: Write) -> None:
    info = write(tmp_path, (0, 1, 2))
    statistics = json.loads((tmp_path / "meta/stats.json").read_text())
    assert set(statistics) == set(info.features)
    for name, entry in statistics.items():
        assert set(entry) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
        if name == KEY:
            assert pa.array(entry["mean"]).type == pa.list_(pa.list_(pa.float64()))
            assert len(entry["mean"]) == 3
        else:
            assert len(entry["mean"]) == info.features[name].shape[0]
            assert entry["count"] == [63]


def test_limits_split_files(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualsys.data.layout.VIDEO_FILE_SECONDS", 0.9)
    monkeypatch.setattr("dualsys.data.layout.DATA_FILE_MB", 0.006)
    write(tmp_path, (0, 1, 2))
    episodes = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [episode[f"videos/{KEY}/file_index"] for episode in episodes] == [0, 0, 1]
    assert [episode[f"videos/{KEY}/from_timestamp"] for episode in episodes] == [0.0, 0.4, 0.0]
    assert [episode["data/file_index"] for episode in episodes] == [0, 0, 1]
    assert (tmp_path / "data/chunk-000/file-001.parquet").is_file()
