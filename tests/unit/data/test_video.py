"""Encoding and decoding of one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dualsys.data import Episode
from dualsys.data.video import concatenate_videos, decode_frames, encode_video
from dualsys.errors import DatasetError
from tests.unit.data.conftest import make_frame


def test_the_same_frames_give_the_same_bytes(tmp_path: Path, make_episode: Callable[..., Episode]) -> None:
    """x264's macroblock tree breaks this now and then: a dataset would depend on luck."""
    track = make_episode(3, length=60).cameras["head"]
    rng = np.random.default_rng(0)
    found = set()
    for attempt in range(12):
        path = tmp_path / f"{attempt}.mp4"
        encode_video(path, track.frames, track.frame_of_row, 50)
        found.add(path.read_bytes())
        np.full(rng.integers(10_000, 1_000_000), attempt, np.uint8)  # other memory for the next encoder
    assert len(found) == 1


def test_concatenation_changes_no_frame(tmp_path: Path, make_episode: Callable[..., Episode]) -> None:
    paths, alone = [], []
    for seed, length in ((0, 12), (1, 25)):
        track = make_episode(seed, length=length).cameras["head"]
        paths.append(tmp_path / f"{seed}.mp4")
        encode_video(paths[-1], track.frames, track.frame_of_row, 50)
        alone += list(decode_frames(paths[-1], np.arange(length), 50))
    concatenate_videos(tmp_path / "both.mp4", paths, [12, 25], 50)
    together = list(decode_frames(tmp_path / "both.mp4", np.arange(37), 50))
    np.testing.assert_array_equal(together, alone)
    some = list(decode_frames(tmp_path / "both.mp4", np.array([0, 11, 12, 36]), 50))
    np.testing.assert_array_equal(some, [alone[0], alone[11], alone[12], alone[36]])


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "letter.mp4"
    path.write_text("dear robot")
    with pytest.raises(DatasetError, match=r"letter.mp4 is no readable video"):
        list(decode_frames(path, np.arange(1), 50))


@pytest.mark.parametrize("fps", [1, 10, 15, 30, 50, 200])
def test_rows_at_any_rate(tmp_path: Path, fps: int) -> None:
    frames = np.stack([make_frame(i) for i in range(6)])
    encode_video(tmp_path / "a.mp4", frames, np.repeat(np.arange(6), 2), fps)
    concatenate_videos(tmp_path / "two.mp4", [tmp_path / "a.mp4"] * 2, [12, 12], fps)
    shown = np.stack(list(decode_frames(tmp_path / "two.mp4", np.arange(24), fps)))
    expected = np.tile(np.repeat(frames, 2, axis=0), (2, 1, 1, 1))
    assert np.abs(shown.astype(float) - expected).mean(axis=(1, 2, 3)).max() < 2


@pytest.mark.parametrize("first", [1, 7, 20, 39])
def test_rows_from_the_middle_are_those_of_the_whole(tmp_path: Path, first: int) -> None:
    """As LeRobot writes videos: a key frame now and then, pictures that lean on later ones."""
    path = tmp_path / "b.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"g": "12", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(make_frame(i), format="rgb24")))
        container.mux(stream.encode(None))
    whole = list(decode_frames(path, np.arange(40), 10))
    for row, frame in enumerate(decode_frames(path, np.arange(first, 40), 10), start=first):
        np.testing.assert_array_equal(frame, whole[row])
