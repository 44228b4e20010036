"""Several folders read as one: on what all of them have, and nothing is left out without a word."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualsys.data import DatasetWriter, DemonstrationDataset
from dualsys.data.episode import CameraTrack
from dualsys.embodiment import CameraSpec
from dualsys.errors import DatasetError
from tests.unit.data.conftest import build_embodiment, build_episode, build_provenance

Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Writes a dataset of one episode seen by cameras of some sizes, with further columns of some widths."""

    def _record(name: str, cameras: dict[str, int], **columns: int) -> Path:
        specs = tuple(CameraSpec(name=camera, height=size, width=size) for camera, size in cameras.items())
        robot = build_embodiment().model_copy(update={"cameras": specs})
        episode = build_episode(3, cameras=tuple(cameras))
        tracks = {
            camera: CameraTrack(
                frames=np.kron(track.frames, np.ones((1, cameras[camera] // 32, cameras[camera] // 32, 1), np.uint8)),
                frame_of_row=track.frame_of_row,
                stamps_s=track.stamps_s,
            )
            for camera, track in episode.cameras.items()
        }
        more = {f"more.{key}": np.ones((episode.length, width), np.float32) for key, width in columns.items()}
        writer = DatasetWriter(tmp_path / name, robot, fps=50)
        writer.stage(replace(episode, cameras=tracks, extras={**episode.extras, **more}))
        writer.finish([3], build_provenance(robot, 4))
        return tmp_path / name

    return _record


@pytest.mark.parametrize("other", [{"head": 64}, {"wrist": 32}, {}])
def test_folders_without_a_camera_in_common_are_refused(record: Record, other: dict[str, int]) -> None:
    one, two = record("one", {"head": 32}), record("two", other)
    told = "".join(f"{name} {size}x{size}" for name, size in other.items()) or "none"
    for first, second in (((one, "head 32x32"), (two, told)), ((two, told), (one, "head 32x32"))):
        with pytest.raises(DatasetError) as refusal:
            DemonstrationDataset.open([first[0], second[0]])
        expected = f"no camera is in all of {first[0]} ({first[1]}); {second[0]} ({second[1]})."
        assert str(refusal.value).startswith(expected)


def test_three_folders_of_which_two_share_each_camera_are_refused(record: Record) -> None:
    folders = [record("a", {"head": 32, "wrist": 32}), record("b", {"head": 32}), record("c", {"wrist": 32})]
    with pytest.raises(DatasetError, match=r"no camera is in all of .*a \(head 32x32, wrist 32x32\); .*c \(wrist"):
        DemonstrationDataset.open(folders)


def test_folders_without_any_camera_are_joined(record: Record) -> None:
    data = DemonstrationDataset.open([record("one", {}), record("two", {})])
    assert dict(data.cameras) == {}
    assert data.num_episodes == 2


def test_what_is_left_out_of_the_cameras_is_said_with_the_reason(record: Record) -> None:
    one, two = record("one", {"head": 64, "close": 32, "top": 32}), record("two", {"head": 32, "close": 32})
    data = DemonstrationDataset.open([one, two])
    assert list(data.cameras) == ["close"]
    assert data.cameras_left_out == {
        "head": f"{one} has it with 64x64, {two} with 32x32",
        "top": f"{two} has none of that name",
    }
    assert DemonstrationDataset.open([two, one]).cameras_left_out.keys() == {"head", "top"}
    assert DemonstrationDataset.open(one).cameras_left_out == {}


def test_the_order_of_cameras_makes_no_other_robot(record: Record) -> None:
    one, two = record("one", {"head": 32, "wrist": 32}), record("two", {"wrist": 32, "head": 32})
    for first, second in ((one, two), (two, one)):
        joined, alone = DemonstrationDataset.open([first, second]), DemonstrationDataset.open(first)
        other = DemonstrationDataset.open(second)
        assert joined.embodiment == alone.embodiment
        assert list(joined.cameras) == list(alone.cameras)
        for name, track in joined.cameras.items():
            parts = [each.cameras[name].frames[:] for each in (alone, other)]
            np.testing.assert_array_equal(track.frames[:], np.concatenate(parts))


def test_a_robot_is_seen_through_cameras_in_the_order_asked_for() -> None:
    robot = build_embodiment(cameras=("head", "wrist", "close"))
    assert [camera.name for camera in robot.seen_through(["close", "none", "head"]).cameras] == ["close", "head"]


def test_columns_that_all_have_are_joined_and_others_are_said(record: Record) -> None:
    one = record("one", {"head": 32}, reward=1, force=3)
    two, three = record("two", {"head": 32}, force=3), record("three", {"head": 32}, force=2)
    for folders in ([one, two], [two, one]):
        data = DemonstrationDataset.open(folders)
        assert data.columns_left_out == {"more.reward": f"{two} has none of that name"}
        assert data.extras["more.force"].shape == (len(data), 3)
        assert "more.reward" not in data.extras
    assert DemonstrationDataset.open([one, three]).columns_left_out.keys() == {"more.reward", "more.force"}
    assert DemonstrationDataset.open(one).columns_left_out == {}
