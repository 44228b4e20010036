"""The same episodes from every format come out as the same dataset; what is foreign, damaged or unsafe is refused."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dualsys.app.cli import main
from dualsys.data import DemonstrationDataset
from dualsys.data.foreign.formats import FORMATS, find_format, open_source
from dualsys.errors import ConfigError, DatasetError, ExtraMissing
from tests.unit.data import foreign_files as files

NEEDS = {
    "act-hdf5": ["--fps", "20", "--instruction", files.INSTRUCTION],
    "robomimic-hdf5": ["--instruction", files.INSTRUCTION],
    "diffusion-policy-zarr": ["--fps", "20", "--instruction", files.INSTRUCTION],
}


def run_import(source: Path, out: Path, *options: str) -> int:
    return main(["data", "import", str(source), "--out", str(out), *options])


def _require_canonical(data: DemonstrationDataset, tolerance: float = 4.0) -> None:
    """What `foreign_files` says, whatever it was stored as."""
    assert data.episode_lengths.tolist() == list(files.LENGTHS)
    assert data.fps == files.FPS
    for index in range(2):
        rows = slice(data.episode_starts[index], data.episode_starts[index] + files.LENGTHS[index])
        np.testing.assert_allclose(data.states[rows], files.states(index), atol=1e-6)
        np.testing.assert_allclose(data.actions[rows], files.actions(index), atol=1e-6)
        shown = np.asarray(data.frames[data.frame_of_row[rows]], np.int16)
        assert np.abs(shown - files.pictures(index)).mean() < tolerance


@pytest.mark.parametrize("format_", sorted(files.WRITERS))
def test_every_format_gives_the_same_dataset(tmp_path: Path, format_: str) -> None:
    source = files.WRITERS[format_](tmp_path)
    assert find_format(source) == format_
    assert run_import(source, tmp_path / "out", *NEEDS.get(format_, [])) == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    _require_canonical(data)
    assert data.instructions[0] == files.INSTRUCTION
    # Each picture was shown for two rows, and is stored once.
    assert len(data.frames) == sum(files.LENGTHS) // 2
    (origin,) = data.provenance
    assert origin is not None
    assert origin.settings["format"] == format_
    assert origin.settings["imported_from"] == source.name
    assert origin.versions
    assert np.all(data.actions >= origin.embodiment.lower)
    assert np.all(data.actions <= origin.embodiment.upper)


def test_aligned_rows_pass_the_check_and_shifted_ones_are_mended(tmp_path: Path) -> None:
    source = files.write_act(tmp_path / "act")
    for path in source.iterdir():
        with h5py.File(path, "r+") as file:
            file["observations/qpos"][...] = np.roll(file["action"][()], -1, axis=0)  # states are stored too late
    report = tmp_path / "report.json"
    for name, shift, expected in (("late", "0", "fail"), ("mended", "2", "pass")):
        out = tmp_path / name
        assert run_import(source, out, *NEEDS["act-hdf5"], "--action-shift-rows", shift) == 0
        main(["data", "check", str(out), "--json", str(report)])
        found = {entry["check"]: entry for entry in json.loads(report.read_text())[0]["findings"]}
        assert found["alignment"]["verdict"] == expected, found["alignment"]
    assert DemonstrationDataset.open(tmp_path / "mended").episode_lengths.tolist() == [28, 22]


@pytest.mark.parametrize(("zarr_format", "name"), [(2, "a.zarr"), (3, "a.zarr"), (2, "a.zarr.zip"), (3, "a.zarr.zip")])
def test_zarr_of_either_format_in_a_folder_or_a_zip(tmp_path: Path, zarr_format: int, name: str) -> None:
    source = files.write_zarr(tmp_path / name, zarr_format, floats=False)
    assert run_import(source, tmp_path / "out", *NEEDS["diffusion-policy-zarr"]) == 0
    _require_canonical(DemonstrationDataset.open(tmp_path / "out"))


def test_jpegs_that_opencv_wrote_keep_red_and_blue_apart(tmp_path: Path) -> None:
    assert run_import(files.write_act(tmp_path / "act", jpeg=True), tmp_path / "out", *NEEDS["act-hdf5"]) == 0
    _require_canonical(DemonstrationDataset.open(tmp_path / "out"))


def test_robomimics_success_and_actions(tmp_path: Path) -> None:
    source = files.write_robomimic(tmp_path / "lift.hdf5")
    run_import(source, tmp_path / "out", *NEEDS["robomimic-hdf5"])
    data = DemonstrationDataset.open(tmp_path / "out")
    assert data.success.tolist() == [True, False]
    assert data.embodiment is not None
    assert data.embodiment.action_representation == "end-effector"
    assert data.embodiment.name == "Lift"
    assert data.embodiment.state_names == ("robot0_eef_pos_0", "robot0_eef_pos_1", "robot0_eef_quat_0")


@pytest.mark.parametrize("named", [True, False])
def test_liberos_words_stand_in_the_file_or_in_its_name(tmp_path: Path, named: bool) -> None:
    run_import(files.write_libero(tmp_path / "libero", named=named), tmp_path / "out")
    assert DemonstrationDataset.open(tmp_path / "out").instructions == (
        "put the block in the bowl",
        "put the block in the drawer",
    )


def test_acts_joints_pair_with_its_positions(tmp_path: Path) -> None:
    source = open_source(files.write_act(tmp_path / "act"), state_keys=("qpos", "qvel"))
    assert source.action_names == ("qpos_0", "qpos_1", "qpos_2")
    assert source.state_names[:3] == source.action_names
    assert len(source.state_names) == 6


def test_an_embodiment_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = files.write_act(tmp_path / "act")
    joints = [{"name": name, "lower": -2.0, "upper": 2.0} for name in ("a", "b", "c")]
    spec: dict[str, Any] = {
        "name": "mine",
        "joints": joints,
        "state_names": ["a", "b", "c"],
        "cameras": [{"name": "top", "height": 16, "width": 24}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    options = [*NEEDS["act-hdf5"], "--embodiment", str(tmp_path / "mine.json")]
    assert run_import(source, tmp_path / "out", *options) == 2
    assert "describes 'mine' with actions, states, cameras (3, 3, {'top': (16, 24)})" in capsys.readouterr().err
    assert run_import(source, tmp_path / "out", *options, "--image-size", "16", "24") == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    assert data.embodiment is not None
    assert data.embodiment.name == "mine"
    assert data.frames.shape[1:] == (16, 24, 3)


def test_episodes_may_be_left_out(tmp_path: Path) -> None:
    source = files.write_act(tmp_path / "act")
    (source / "episode_0.hdf5").write_bytes(b"cut")
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 2
    whole = files.write_robomimic(tmp_path / "lift.hdf5")
    assert run_import(whole, tmp_path / "out", *NEEDS["robomimic-hdf5"], "--skip", "0") == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    assert (data.seeds.tolist(), data.episode_lengths.tolist()) == ([1], [files.LENGTHS[1]])


def test_an_episode_to_leave_out_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = files.write_robomimic(tmp_path / "lift.hdf5")
    assert run_import(whole, tmp_path / "out", *NEEDS["robomimic-hdf5"], "--skip", "0", "7", "-1") == 2
    assert f"--skip -1 7: {whole} has no such episode; it has {len(files.LENGTHS)}, numbered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_stopped_import_goes_on_and_gives_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = files.write_act(tmp_path / "act")
    assert run_import(source, tmp_path / "whole", *NEEDS["act-hdf5"]) == 0
    second = source / "episode_1.hdf5"
    kept = second.read_bytes()
    with h5py.File(second, "r+") as file:
        del file["observations/images/top"]
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 2
    assert len(list((tmp_path / "out/.recording").glob("*.npz"))) == 1
    with pytest.raises(DatasetError, match=r"holds an import that was not finished \(1 .* the same command$"):
        DemonstrationDataset.open(tmp_path / "out")
    second.write_bytes(kept)
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"], "--action-shift-rows", "1") == 2
    assert f"{tmp_path / 'out'} was begun with action_shift_rows 0 (now 1); go on" in capsys.readouterr().err
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 0
    for path in (tmp_path / "whole").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes()


def _not_finite(source: Path) -> None:
    with h5py.File(source / "episode_1.hdf5", "r+") as file:
        file["action"][3, 1] = np.nan


def _fewer_pictures(source: Path) -> None:
    with h5py.File(source / "episode_1.hdf5", "r+") as file:
        film = file["observations/images/top"][:-2]
        del file["observations/images/top"]
        file["observations/images/top"] = film


def _fewer_actions(source: Path) -> None:
    with h5py.File(source / "episode_1.hdf5", "r+") as file:
        rows = file["action"][:-2]
        del file["action"]
        file["action"] = rows


def _cut(source: Path) -> None:
    path = source / "episode_1.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_not_finite, "actions of episode 1 are not finite; leave the episode out: --skip 1"),
        (_fewer_pictures, "camera top 22 pictures"),
        (_fewer_actions, "qpos has 24, action has 22"),
        (_cut, "episode_1.hdf5 is no readable HDF5 file"),
    ],
)
def test_what_is_damaged_is_named_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = files.write_act(tmp_path / "act")
    spoil(source)
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said
    assert str(source) in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "does not say its rate; give it: --fps"),
        (["--fps", "20"], "has no instruction; say what is to be done: --instruction"),
        (["--fps", "20", "--format", "robomimic-hdf5"], "looks like act-hdf5, not robomimic-hdf5"),
        (["--fps", "20", "--state-keys", "qposs"], "has no qposs; it has qpos, qvel"),
        (["--fps", "20", "--skip", "0", "1"], "none is left"),
    ],
)
def test_what_the_source_does_not_say_is_asked_for(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(files.write_act(tmp_path / "act"), tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err


def test_an_import_that_was_refused_leaves_nothing_and_may_be_given_anew(tmp_path: Path) -> None:
    source, out = files.write_act(tmp_path / "act"), tmp_path / "out"
    assert run_import(source, out, "--fps", "20") == 2
    assert not out.exists()
    (out / ".recording").mkdir(parents=True)
    (out / ".recording/settings.json").write_text('{"instruction": ""}')  # of one that was killed
    assert run_import(source, out, *NEEDS["act-hdf5"]) == 0


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = files.write_act(tmp_path / "act")
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert run_import(source, tmp_path / "out", *NEEDS["act-hdf5"]) == 2
    assert "holds a dataset of 2 episodes" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert run_import(tmp_path / "out", tmp_path / "again") == 2
    assert "was written by dualsys and needs no import" in capsys.readouterr().err


def test_unknown_structures_say_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r"there is letter\.txt; expected meta/info\.json"):
        find_format(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        find_format(tmp_path / "nowhere")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(DatasetError, match="it has weights; expected action"):
        find_format(tmp_path / "other.hdf5")
    with pytest.raises(ConfigError, match="Did you mean 'act-hdf5'"):
        open_source(tmp_path / "other.hdf5", "act-hdf")


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("key", ["data/action", "data/img", "meta/episode_ends"])
@pytest.mark.parametrize("place", ["filter", "compressor"])
def test_nothing_is_unpickled(tmp_path: Path, key: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """zarr knows a codec that unpickles whatever a chunk holds."""
    source = files.write_zarr(tmp_path / "a.zarr", 2)
    described = source / key / ".zarray"
    about = json.loads(described.read_text())
    codec = {"id": "pickle", "protocol": 5}
    about |= {"filters": [codec], "compressor": None} if place == "filter" else {"filters": None, "compressor": codec}
    described.write_text(json.dumps(about))
    for chunk in described.parent.rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    assert run_import(source, tmp_path / "out", *NEEDS["diffusion-policy-zarr"]) == 2
    said = capsys.readouterr().err
    assert "pickle" in said
    assert str(source) in said
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(_Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists(), "a trap that does not spring would prove nothing"


def test_codecs_that_are_not_known_to_pack_numbers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = files.write_zarr(tmp_path / "a.zarr", 2)
    described = source / "data/action/.zarray"
    about = json.loads(described.read_text())
    described.write_text(json.dumps({**about, "filters": [{"id": "base64"}]}))
    assert run_import(source, tmp_path / "out", *NEEDS["diffusion-policy-zarr"]) == 2
    assert "data/action is packed with base64; dualsys reads" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "format_"), [("h5py", "act-hdf5"), ("zarr", "diffusion-policy-zarr")])
def test_a_missing_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, format_: str
) -> None:
    source = files.WRITERS[format_](tmp_path)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[import\]'"):
        open_source(source)


def test_the_commands_formats_are_the_readers() -> None:
    from typing import get_args

    from dualsys.app.data_import import Format

    assert get_args(Format) == ("auto", *FORMATS)
