"""Checkpoint folders: what is refused, and that the message says why."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, check_safetensors, write_manifest
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, SubgoalSpec
from dualsys.errors import CheckpointError

ARM = EmbodimentSpec(name="arm", joints=(Joint(name="a", lower=-1, upper=1),), state_names=("a",))


def safetensors_bytes(size: int = 16) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "c"
    path.mkdir()
    (path / "actor.safetensors").write_bytes(safetensors_bytes())
    manifest = Manifest(
        format=FORMAT,
        name="c",
        embodiment=ARM,
        subgoal=SubgoalSpec(num_tokens=1, dim=1),
        planner=ModuleEntry(name="null"),
        actor=ModuleEntry(name="flow", weights="actor.safetensors"),
        versions={},
    )
    write_manifest(path, manifest)
    return path


def test_a_whole_folder_opens(folder: Path) -> None:
    assert Checkpoint.open(folder, embodiment=ARM).manifest.name == "c"


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    file = folder / "actor.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"actor\.safetensors .*copy it again"):
        Checkpoint.open(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "actor.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"actor\.safetensors are missing"):
        Checkpoint.open(folder)


@pytest.mark.parametrize("junk", [b"x" * 100, struct.pack("<Q", 8) + b"not json", struct.pack("<Q", 2) + b"[]"])
def test_foreign_weights_are_refused(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(junk)
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        check_safetensors(file)


def test_another_robot_is_refused_naming_both(folder: Path) -> None:
    other = EmbodimentSpec(
        name="leg", joints=ARM.joints, state_names=("a",), cameras=(CameraSpec(name="eye", height=4, width=4),)
    )
    with pytest.raises(CheckpointError, match=r"'arm' \(1 joints.*not for 'leg'.*they differ in name, cameras\."):
        Checkpoint.open(folder, embodiment=other)


def test_another_size_of_pictures_is_said(folder: Path) -> None:
    eyes = {size: (CameraSpec(name="eye", height=size, width=2 * size),) for size in (4, 8)}
    manifest = Checkpoint.open(folder).manifest
    seeing = ARM.model_copy(update={"cameras": eyes[4]})
    write_manifest(folder, manifest.model_copy(update={"embodiment": seeing}))
    with pytest.raises(CheckpointError, match=r"cameras: eye 8x4\), not for .*cameras: eye 16x8\): .* in cameras\."):
        Checkpoint.open(folder, embodiment=ARM.model_copy(update={"cameras": eyes[8]}))


def test_the_digest_is_of_all_that_makes_it_act_and_not_of_its_name(folder: Path, tmp_path: Path) -> None:
    (folder / "statistics.json").write_text("{}")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/tokenizer.json").write_text("{}")
    seen = {Checkpoint.open(folder).weights_digest()}

    manifest = Checkpoint.open(folder).manifest
    write_manifest(folder, manifest.model_copy(update={"name": "other", "training": {"steps": 3}}))
    assert {Checkpoint.open(shutil.copytree(folder, tmp_path / "copy")).weights_digest()} == seen

    def is_new() -> bool:
        before = len(seen)
        seen.add(Checkpoint.open(folder).weights_digest())
        return len(seen) > before

    (folder / "statistics.json").write_text('{"state": 1}')
    assert is_new()
    (folder / "tokenizer/tokenizer.json").write_text('{"words": 1}')
    assert is_new()
    (folder / "actor.safetensors").write_bytes(safetensors_bytes()[:-1] + b"1")
    assert is_new()
    quick = manifest.actor.model_copy(update={"config": {"num_inference_steps": 1}})
    write_manifest(folder, manifest.model_copy(update={"actor": quick}))
    assert is_new()
    write_manifest(folder, manifest.model_copy(update={"actor": quick, "planner": ModuleEntry(name="replay")}))
    assert is_new()


def test_a_file_that_went_while_it_was_read_is_an_error_of_one_line(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    (folder / "actor.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"actor\.safetensors is gone: something writes to that folder"):
        checkpoint.weights_digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"format": None}, "format None"),
        ({"surprise": 1}, "surprise"),
        ({"subgoal": {"num_tokens": 0, "dim": 1}}, r"subgoal\.num_tokens"),
    ],
)
def test_a_manifest_that_does_not_fit_says_where(folder: Path, change: dict[str, object], message: str) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(folder)


def test_unknown_names_suggest(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="unknown checkpoint 'humanoid-tabel'"):
        Checkpoint.open("humanoid-tabel")
    with pytest.raises(CheckpointError, match="no config"):
        Checkpoint.open(tmp_path)


def test_a_modules_digest_is_of_its_configuration_and_its_weights(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    manifest = checkpoint.manifest
    before = checkpoint.module_digest(manifest.actor)
    assert before == checkpoint.module_digest(manifest.actor) != checkpoint.module_digest(manifest.planner)
    assert before != checkpoint.module_digest(manifest.actor.model_copy(update={"config": {"width": 1}}))
    with (folder / "actor.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert before != checkpoint.module_digest(manifest.actor)


def test_of_large_weights_blocks_over_all_of_them_are_read(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    entry, size = checkpoint.manifest.actor, 3 * 2**30

    def digest_with(offset: int | None) -> str:
        with (folder / "actor.safetensors").open("wb") as file:
            file.truncate(size)  # sparse: nothing is written
            if offset is not None:
                file.seek(offset)
                file.write(bytes(range(1, 200)) * 2**17)  # longer than what lies between two blocks
        return checkpoint.module_digest(entry)

    assert len({digest_with(offset) for offset in (None, 0, size // 2, size - 2**25)}) == 4
