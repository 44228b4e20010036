"""A recording that was stopped is gone on with as it was begun, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualsys.data import DatasetWriter, Episode
from dualsys.data.begun import BegunRecording, differing_settings
from dualsys.data.info import DatasetInfo
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError

SETTINGS: dict[str, Any] = {"rate_hz": 10.0, "blocks": ["red", "blue"], "size": None, "kind": "touch"}


@pytest.fixture
def recording(tmp_path: Path, embodiment: EmbodimentSpec) -> Callable[[], BegunRecording]:
    """Opens the folder anew, as another process would."""
    return lambda: BegunRecording(DatasetWriter(tmp_path, embodiment, fps=50))


def test_one_goes_on_with_the_settings_it_was_begun_with(recording: Callable[[], BegunRecording]) -> None:
    assert not recording().exists
    recording().go_on(SETTINGS)
    assert recording().exists
    recording().go_on(SETTINGS | {"blocks": ("red", "blue")})


def test_every_difference_is_named_and_the_note_stays(recording: Callable[[], BegunRecording]) -> None:
    recording().go_on(SETTINGS)
    others = {"rate_hz": 25.0, "blocks": ["red"], "kind": "touch", "noise_rad": None}
    said = (
        r"begun with blocks \['red', 'blue'\] \(now \['red'\]\), noise_rad not told \(now None\), "
        r"rate_hz 10\.0 \(now 25\.0\), size None \(now not told\); go on with the same"
    )
    for _ in range(2):
        with pytest.raises(DatasetError, match=said):
            recording().go_on(others)
    recording().go_on(SETTINGS)


def test_staged_episodes_without_a_note_are_of_something_else(
    tmp_path: Path,
    embodiment: EmbodimentSpec,
    recording: Callable[[], BegunRecording],
    make_episode: Callable[..., Episode],
) -> None:
    DatasetWriter(tmp_path, embodiment, fps=50).stage(make_episode(3))
    with pytest.raises(DatasetError, match=r"staged episodes \(1\) and not what they were begun with"):
        recording().go_on(SETTINGS)
    assert not recording().exists


def test_what_a_kill_left_of_a_finished_recording_is_gone_on_with(
    tmp_path: Path,
    embodiment: EmbodimentSpec,
    recording: Callable[[], BegunRecording],
    make_episode: Callable[..., Episode],
    write: Callable[..., DatasetInfo],
) -> None:
    """The staging folder goes last, its files in any order: episodes may outlive the note."""
    write(tmp_path, (0, 1))
    DatasetWriter(tmp_path, embodiment, fps=50).stage(make_episode(1))
    recording().go_on(SETTINGS)
    assert recording().exists


def test_equal_settings_differ_in_nothing() -> None:
    assert differing_settings(SETTINGS, dict(reversed(SETTINGS.items()))) == ""
