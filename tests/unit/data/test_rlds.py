"""RLDS: a dataset that TensorFlow Datasets wrote is read to the bit; what is damaged is named; grippers, rates, scales.

`rlds/` was written by tensorflow-datasets 4.9.10 from the two episodes of `foreign_files`, with columns of each kind.
"""

import re
import shutil
import struct
from pathlib import Path
from typing import Any, get_args

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dualsys.app.cli import main
from dualsys.data import DemonstrationDataset
from dualsys.data.foreign.action_scale import ActionScale
from dualsys.data.foreign.formats import find_format, open_source
from dualsys.data.foreign.gripper import opening
from dualsys.data.foreign.resampling import Resampling
from dualsys.data.foreign.rlds_standards import GripperCoding, standard_of, standards
from dualsys.data.foreign.source import ForeignEpisode
from dualsys.data.foreign.tf_example import read_example
from dualsys.data.foreign.tfrecord import TFRecordFile
from dualsys.errors import ConfigError, DatasetError
from tests.unit.data import foreign_files as files

WRITTEN = Path(__file__).parent / "rlds"
ACTION = ("action/world_vector", "action/gripper_closedness_action")


def of_length(length: int) -> int:
    """TFDS shuffles episodes; they differ in length."""
    return files.LENGTHS.index(length)


def test_tfdss_own_files_are_read_to_the_bit() -> None:
    assert find_format(WRITTEN) == "rlds"
    source = open_source(WRITTEN, action_keys=ACTION)
    assert len(source) == 2
    assert source.action_names[-1] == "action/gripper_closedness_action_0"
    assert source.cameras == ("image",)
    for index in range(2):
        episode = source.episode(index)
        which = of_length(len(episode.states))
        assert np.array_equal(episode.states, files.states(which))
        assert np.array_equal(episode.actions, files.actions(which))
        assert np.array_equal(source.pictures(index, "image"), files.pictures(which))
        assert (episode.instruction, episode.success) == (files.INSTRUCTION, True)


def test_packed_columns_scalars_and_some_components() -> None:
    keys = ("observation/packed", "observation/gripper", "observation/state[1:3]")
    source = open_source(WRITTEN, state_keys=keys, action_keys=ACTION)
    assert source.state_names == ("packed_0", "packed_1", "gripper", "state_1", "state_2")
    states = source.episode(0).states
    expected = files.states(of_length(len(states)))
    count = np.arange(len(states), dtype=np.float32)[:, None]
    assert np.array_equal(states, np.hstack([expected[:, :2], count, expected[:, 1:]]))


def run_import(source: Path, out: Path, *options: str) -> int:
    keys = ["--action-keys", *ACTION, "--fps", str(files.FPS)]
    return main(["data", "import", str(source), "--out", str(out), *keys, *options])


AT_10_HZ = ("--resample-hz", "10", "--actions-are", "changes-and-gripper")


def test_what_actions_are_is_asked_for_where_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_import(WRITTEN, tmp_path / "out", "--resample-hz", "10") == 2
    assert "does not say whether its actions are positions or changes" in capsys.readouterr().err
    assert run_import(WRITTEN, tmp_path / "out", "--resample-hz", "10", "--actions-are", "positions") == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    longest = int(np.argmax(data.episode_lengths))
    rows = slice(data.episode_starts[longest], data.episode_starts[longest] + 15)
    np.testing.assert_allclose(data.actions[rows], files.actions(0)[::2], atol=1e-6)


def test_it_becomes_a_dataset_at_another_rate(tmp_path: Path) -> None:
    assert run_import(WRITTEN, tmp_path / "out", *AT_10_HZ, "--action-scaling", "bounds") == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    assert data.fps == 10
    assert sorted(data.episode_lengths.tolist()) == [12, 15]
    assert data.actions.min() == -1.0
    assert data.actions.max() == 1.0
    (origin,) = data.provenance
    assert origin is not None
    assert origin.settings["resampled_from_hz"] == 20
    scale = origin.settings["action_scale"]
    longest = int(np.argmax(data.episode_lengths))
    rows = slice(data.episode_starts[longest], data.episode_starts[longest] + 15)
    np.testing.assert_allclose(data.states[rows], files.states(0)[::2], atol=1e-6)
    back = (data.actions[rows] + 1) / 2 * np.subtract(scale["high"], scale["low"]) + scale["low"]
    original = files.actions(0)
    np.testing.assert_allclose(back[:, :2], original[::2, :2] + original[1::2, :2], atol=1e-5)


def test_what_it_does_not_say_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "import", str(WRITTEN), "--out", str(tmp_path / "out")]) == 2
    assert "has no action; it has action/gripper_closedness_action, action/terminate" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--action-keys is for rlds and mcap"):
        open_source(files.write_act(tmp_path / "act"), action_keys=("action",))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("--state-keys", "observation/state[1:9]"), r"state\[1:9\] is none of the 3 components of observation/state"),
        (("--state-keys", "observation/state[2:2]"), r"state\[2:2\] is none of the 3 components"),
        (("--state-keys", "observation/state", "observation/state[0:2]"), "state_0, state_1 would be there twice"),
        (("--action-keys", "action/speed"), "Choose the action's columns with --action-keys"),
    ],
)
def test_components_that_are_not_there_or_twice_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: tuple[str, ...], message: str
) -> None:
    assert run_import(WRITTEN, tmp_path / "out", *keys) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_source_may_have_any_rate_and_a_dataset_a_whole_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(WRITTEN, tmp_path / "out", "--fps", "3.75") == 2
    assert "3.75 rows a second: a dataset's rate is a whole number" in capsys.readouterr().err
    assert run_import(WRITTEN, tmp_path / "out", "--fps", "3.75", *AT_10_HZ) == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    assert data.provenance[0] is not None
    assert data.provenance[0].settings["resampled_from_hz"] == 3.75
    assert sorted(data.episode_lengths.tolist()) == [1 + int(23 * 10 / 3.75), 1 + int(29 * 10 / 3.75)]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _wrong_length(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def _lost(path: Path) -> None:
    path.rename(path.with_name(path.name.replace("00000-of-00001", "00001-of-00002")))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_flip, r"record \d is damaged \(checksum\)"),
        (_cut, "is cut short: record 1 begins at byte"),
        (_wrong_length, r"length of record 0 \(byte 0\) is not"),
        (_lost, "split train has 1 of 2 files, number 0 is missing"),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, spoil: object, message: str) -> None:
    shutil.copytree(WRITTEN, tmp_path / "copy")
    (shard,) = (tmp_path / "copy").glob("*.tfrecord-*")
    spoil(shard)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=message):  # noqa: PT012  # some damage shows on opening, some on reading
        source = open_source(tmp_path / "copy", action_keys=ACTION)
        for index in range(2):
            source.episode(index)


def test_a_folder_that_is_no_dataset_of_episodes(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text('{"featuresDict": {"features": {"label": {"text": {}}}}}')
    with pytest.raises(DatasetError, match="has no steps"):
        open_source(tmp_path)
    (tmp_path / "features.json").write_text("[1]")
    with pytest.raises(DatasetError, match="not as TensorFlow Datasets writes it"):
        open_source(tmp_path)


# A writer of records that shares no line with the reader.


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _example(features: dict[str, list[Any]]) -> bytes:
    entries = b""
    for name, values in features.items():
        if values and isinstance(values[0], bytes):
            kind = _field(1, b"".join(_field(1, value) for value in values))
        elif values and isinstance(values[0], float):
            kind = _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            kind = _field(3, _field(1, b"".join(_varint(value) for value in values)))
        entries += _field(1, _field(1, name.encode()) + _field(2, kind))
    return _field(1, entries)


def _record(data: bytes) -> bytes:
    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)

    head = struct.pack("<Q", len(data))
    return head + masked(head) + data + masked(data)


VALUES = st.one_of(
    st.lists(st.binary(max_size=20), min_size=1, max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
)


def test_an_episode_without_steps_is_named(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN, tmp_path / "copy")
    (shard,) = (tmp_path / "copy").glob("*.tfrecord-*")
    names = ("observation/state", "action/world_vector", "action/gripper_closedness_action", "observation/image")
    shard.write_bytes(shard.read_bytes() + _record(_example({f"steps/{name}": [] for name in names})))
    assert run_import(tmp_path / "copy", tmp_path / "out") == 2
    assert run_import(tmp_path / "copy", tmp_path / "out", "--skip", "2") == 0


@given(st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), max_size=4))
def test_whatever_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, examples: list[dict[str, list[Any]]]
) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    path.write_bytes(b"".join(_record(_example(example)) for example in examples))
    file = TFRecordFile(path)
    assert len(file) == len(examples)
    for index, example in enumerate(examples):
        found = read_example(file.record(index), "here")
        assert {name: list(values) for name, values in found.items()} == example


@given(st.binary(min_size=1, max_size=60))
def test_nonsense_is_refused_or_harmless(data: bytes) -> None:
    try:
        read_example(data, "here")
    except DatasetError as error:
        refused = str(error)
    else:
        return
    assert "here is no tf.train.Example" in refused


def test_grippers_are_made_one() -> None:
    change = np.array([0, 0, 1, 0, 0, -1, 0, 0.05], np.float32)
    assert opening(change, "closing-change").tolist() == [1, 1, 0, 0, 0, 1, 1, 1]
    assert opening(-change, "closing-change").tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert opening(np.zeros(3, np.float32), "closing-change").tolist() == [1, 1, 1]
    measured = np.array([1, 0.7, 0.3, 0, 0, 0.4, 1, 0.6], np.float32)
    np.testing.assert_allclose(opening(measured, "measured"), [1, 0, 0, 0, 0, 1, 1, 0.6])
    assert opening(np.array([-1, 1, 0.2], np.float32), "minus-plus").tolist() == pytest.approx([1, 0, 0.8])
    assert opening(np.array([2, 0], np.float32), "opening").tolist() == [1, 0]


@given(
    st.sampled_from(get_args(GripperCoding)),
    arrays(np.float32, st.integers(1, 30), elements=st.floats(-3, 3, width=32)),
)
def test_an_opening_is_between_0_and_1(coding: GripperCoding, values: NDArray[np.float32]) -> None:
    made = opening(values, coding)
    assert made.shape == values.shape
    assert np.all((made >= 0) & (made <= 1))


def test_what_is_known_of_datasets_is_of_one_kind() -> None:
    assert standard_of("fractal20220817_data") is not None
    assert standard_of("libero_spatial_no_noops") is not None
    assert standard_of("blocks") is None
    names = [name for standard in standards() for name in standard.names]
    assert len(names) == len(set(names))


@given(st.integers(2, 40), st.sampled_from([3, 5, 10, 15, 20]), st.sampled_from([5, 10, 20, 50]))
def test_changes_add_up_to_the_same_at_any_rate(rows: int, source_fps: int, fps: int) -> None:
    rng = np.random.default_rng(rows)
    t = np.arange(rows) / source_fps
    changes = rng.normal(size=(rows, 3)).astype(np.float32)
    episode = ForeignEpisode(states=np.stack([t, 2 - 3 * t], axis=1).astype(np.float32), actions=changes)
    made = Resampling(source_fps=source_fps, fps=fps, kind="changes-and-gripper").episode(episode)
    times = np.arange(len(made.states)) / fps
    np.testing.assert_allclose(made.states, np.stack([times, 2 - 3 * times], axis=1), atol=1e-5)
    # Up to the last new row's end, or the end of what there was.
    whole = np.vstack([np.zeros(2), np.cumsum(changes[:, :2], axis=0)])
    ends = np.minimum((times + 1 / fps) * source_fps, rows)
    reached = [np.interp(ends, np.arange(rows + 1), column) for column in whole.T]
    np.testing.assert_allclose(np.cumsum(made.actions[:, :2], axis=0), np.stack(reached, axis=1), atol=1e-4)
    newest = np.floor(times * source_fps + 1e-6).astype(int)
    assert np.array_equal(made.actions[:, 2], changes[newest, 2])
    held = Resampling(source_fps=source_fps, fps=fps, kind="positions").pictures(
        np.arange(rows, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    )
    assert np.array_equal(held[:, 0, 0, 0], newest)


@given(arrays(np.float32, (20, 3), elements=st.floats(-100, 100, width=32)))
def test_scaled_actions_turn_back(actions: NDArray[np.float32]) -> None:
    episode = ForeignEpisode(states=actions, actions=actions)
    scale = ActionScale.of("bounds", [episode], gripper=False)
    made = scale.episode(episode).actions
    assert np.all(np.abs(made) <= 1)
    np.testing.assert_allclose((made + 1) / 2 * (scale.high - scale.low) + scale.low, actions, atol=2e-4)
    clipped = ActionScale.of("bounds-q99", [episode], gripper=False).episode(episode).actions
    assert np.all(np.abs(clipped) <= 1)
