"""What was written is what is read; what is damaged or foreign is refused by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dualsys.data import DatasetWriter, DemonstrationDataset, Episode, frame_cache
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import DatasetError

Write = Callable[..., DatasetInfo]
VIDEO = "videos/observation.images.head/chunk-000/file-000.mp4"


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_reads_back_what_was_written(
    tmp_path: Path, write: Write, embodiment: EmbodimentSpec, make_episode: Callable[..., Episode]
) -> None:
    write(tmp_path, (0, 1, 4))
    data = DemonstrationDataset.open(tmp_path, embodiment)
    assert data.num_episodes == 3
    assert (data.fps, data.embodiment) == (50, embodiment)
    assert data.seeds.tolist() == [0, 1, 4]
    assert data.success.all()
    for number, seed in enumerate((0, 1, 4)):
        episode = make_episode(seed, length=20 + seed)
        start, length = data.episode_starts[number], data.episode_lengths[number]
        rows = slice(start, start + length)
        assert length == episode.length
        assert data.instructions[number] == episode.instruction
        np.testing.assert_array_equal(data.states[rows], episode.states)
        np.testing.assert_array_equal(data.actions[rows], episode.actions)
        assert data.states.dtype == data.actions.dtype == np.float32
        for name, column in episode.extras.items():
            np.testing.assert_array_equal(data.extras[name][rows], column)
        track = episode.cameras["head"]
        shown = data.frames[data.frame_of_row[rows]]
        assert _psnr(shown, track.frames[track.frame_of_row]) > 40
        stamps = data.cameras["head"].stamp_of_row_s[rows]
        np.testing.assert_allclose(stamps, track.stamps_s[track.frame_of_row], atol=1e-6)
    assert len(data.frames) == 4 + 5 + 5
    assert data.episode_of_row.tolist() == [0] * 20 + [1] * 21 + [2] * 24


def test_saturated_blocks_keep_their_colour(tmp_path: Path, write: Write, make_episode: Callable[..., Episode]) -> None:
    write(tmp_path, (2,))
    frames = DemonstrationDataset.open(tmp_path).frames[:]
    truth = make_episode(2, length=22).cameras["head"].frames
    saturated = truth.max(axis=-1).astype(int) - truth.min(axis=-1) > 150
    assert saturated.mean() > 0.03
    assert _psnr(frames[saturated], truth[saturated]) > 38


def test_several_folders_read_as_one(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "a", (0, 1))
    write(tmp_path / "b", (2,))
    one = DemonstrationDataset.open(tmp_path / "a")
    two = DemonstrationDataset.open(tmp_path / "b")
    both = DemonstrationDataset.open([tmp_path / "a", tmp_path / "b"])
    assert both.seeds.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(both.states, np.concatenate([one.states, two.states]))
    np.testing.assert_array_equal(
        both.frames[both.frame_of_row], np.concatenate([one.frames[one.frame_of_row], two.frames[two.frame_of_row]])
    )
    np.testing.assert_array_equal(both.frames[np.array([[9, 0], [3, -1]])][1, 1], two.frames[len(two.frames) - 1])
    np.testing.assert_array_equal(both.frames[len(one.frames)], two.frames[0])


def test_folders_that_differ_are_refused(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    write(tmp_path / "a", (0,))
    write(tmp_path / "b", (0,), embodiment.model_copy(update={"name": "other"}))
    with pytest.raises(DatasetError, match=r"differ in embodiment"):
        DemonstrationDataset.open([tmp_path / "a", tmp_path / "b"])


def test_several_cameras(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    cameras = tuple(CameraSpec(name=name, height=32, width=32) for name in ("head", "wrist"))
    write(tmp_path, (0, 1), embodiment.model_copy(update={"cameras": cameras}))
    data = DemonstrationDataset.open(tmp_path)
    assert sorted(data.cameras) == ["head", "wrist"]
    assert _psnr(data.cameras["head"].frames[:], data.cameras["wrist"].frames[:]) < 30
    with pytest.raises(DatasetError, match="choose one"):
        _ = data.frames


def test_frames_are_decoded_once(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, (0, 1))
    calls: list[tuple[int, int]] = []
    first = DemonstrationDataset.open(tmp_path, progress=lambda done, total: calls.append((done, total))).frames[:]
    assert calls == [(0, 9)]

    def refuse(*_: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(frame_cache, "decode_frames", refuse)
    np.testing.assert_array_equal(DemonstrationDataset.open(tmp_path).frames[:], first)


@pytest.mark.parametrize("spoil", ["changed video", "cut array", "broken key"])
def test_a_cache_that_does_not_fit_is_made_again(tmp_path: Path, write: Write, spoil: str) -> None:
    write(tmp_path, (0, 1))
    first = np.array(DemonstrationDataset.open(tmp_path).frames[:])
    array = tmp_path / ".frames/observation.images.head.npy"
    key = array.with_suffix(".json")
    if spoil == "changed video":
        array.write_bytes(array.read_bytes()[:-100] + bytes(100))
        os.utime(tmp_path / VIDEO, (1, 1))
    elif spoil == "cut array":
        array.write_bytes(array.read_bytes()[:-100])
    else:
        key.write_text("{")
    np.testing.assert_array_equal(DemonstrationDataset.open(tmp_path).frames[:], first)


def test_cache_folder_may_be_chosen(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data", (0,))
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path / "cache"))
    DemonstrationDataset.open(tmp_path / "data")
    assert not (tmp_path / "data/.frames").exists()
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _drop_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 30), path)


def _drop_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)


def _shuffle(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(10), table.slice(0, 10)]), path)


def _old_version(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"codebase_version": "v2.1"}))


def _unknown_provenance(path: Path) -> None:
    info = json.loads(path.read_text())
    info["dualsys"]["colour"] = "red"
    path.write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("meta/info.json", Path.unlink, "is no dataset"),
        ("meta/info.json", _cut, "not valid JSON"),
        ("meta/info.json", _old_version, "format 'v2.1'"),
        ("meta/info.json", _unknown_provenance, "dualsys.colour"),
        ("meta/tasks.parquet", Path.unlink, "tasks.parquet is missing"),
        ("meta/episodes/chunk-000/file-000.parquet", Path.unlink, "is missing"),
        ("meta/episodes/chunk-000/file-000.parquet", _cut, "is damaged"),
        ("data/chunk-000/file-000.parquet", Path.unlink, "is missing"),
        ("data/chunk-000/file-000.parquet", _cut, "is damaged"),
        ("data/chunk-000/file-000.parquet", _drop_rows, "30 rows, meta/episodes says 41"),
        ("data/chunk-000/file-000.parquet", _drop_column, "no column"),
        ("data/chunk-000/file-000.parquet", _shuffle, "not in the order"),
        (VIDEO, Path.unlink, "is missing"),
        (VIDEO, _cut, "no readable video|is damaged|cut short"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, write: Write, file: str, damage: Callable[[Path], object], message: str
) -> None:
    write(tmp_path, (0, 1))
    damage(tmp_path / file)
    with pytest.raises(DatasetError, match=message) as caught:
        DemonstrationDataset.open(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_video_that_ends_early_is_refused(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    write(tmp_path / "long", (0, 1))
    write(tmp_path / "short", (0,))
    (tmp_path / "long" / VIDEO).write_bytes((tmp_path / "short" / VIDEO).read_bytes())
    with pytest.raises(DatasetError, match=r"ends before its row 20"):
        DemonstrationDataset.open(tmp_path / "long")
    # Nothing half-made stays behind to be taken for a cache.
    assert list((tmp_path / "long/.frames").glob("*")) == []


def test_another_robot_is_refused(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    write(tmp_path, (0,))
    wider = embodiment.model_copy(update={"joints": (*embodiment.joints, Joint(name="c", lower=-1, upper=1))})
    with pytest.raises(DatasetError, match=r"\(2 joints, 4 states\), not of .* \(3 joints"):
        DemonstrationDataset.open(tmp_path, wider)
    renamed = embodiment.model_copy(update={"name": "other"})
    with pytest.raises(DatasetError, match=r"'tiny'.*'other'"):
        DemonstrationDataset.open(tmp_path, renamed)


def test_folder_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="dualsys demos TASK"):
        DemonstrationDataset.open(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="no dataset folder given"):
        DemonstrationDataset.open([])


def test_unfinished_recording_says_how_to_finish(
    tmp_path: Path, embodiment: EmbodimentSpec, make_episode: Callable[..., Episode]
) -> None:
    DatasetWriter(tmp_path, embodiment, fps=50).stage(make_episode(0))
    with pytest.raises(DatasetError, match=r"not finished \(1 episodes so far\).*--resume"):
        DemonstrationDataset.open(tmp_path)


def test_lerobots_own_datasets_read_too(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    """Without our provenance and our columns: every row has a frame of its own."""
    write(tmp_path, (0, 1))
    path = tmp_path / "meta/info.json"
    info = json.loads(path.read_text())
    del info["dualsys"], info["features"]["image_stamp_s"]
    path.write_text(json.dumps(info))
    rows = tmp_path / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(rows).drop_columns(["image_stamp_s"]), rows)
    data = DemonstrationDataset.open(tmp_path, embodiment)
    assert data.provenance == (None,)
    assert data.frame_of_row.tolist() == list(range(41))
    assert len(data.frames) == 41


def test_provenance_survives(tmp_path: Path, write: Write) -> None:
    write(tmp_path, (0, 1))
    (found,) = DemonstrationDataset.open(tmp_path).provenance
    assert isinstance(found, Provenance)
    assert (found.task, found.next_seed) == ("tiny/test", 2)
