"""Encoding and decoding of one file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualsys.data import Episode
from dualsys.data.video import concatenate_videos, decode_frames, encode_video
from dualsys.errors import DatasetError


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
    concatenate_videos(tmp_path / "both.mp4", paths, 50)
    together = list(decode_frames(tmp_path / "both.mp4", np.arange(37), 50))
    np.testing.assert_array_equal(together, alone)
    some = list(decode_frames(tmp_path / "both.mp4", np.array([0, 11, 12, 36]), 50))
    np.testing.assert_array_equal(some, [alone[0], alone[11], alone[12], alone[36]])


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "letter.mp4"
    path.write_text("dear robot")
    with pytest.raises(DatasetError, match=r"letter.mp4 is no readable video"):
        list(decode_frames(path, np.arange(1), 50))
