"""A full disk, a damaged state, data of another robot: one clear line each, and nothing is lost."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dualsys.app.train import main
from dualsys.app.train_config import TrainConfig
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.errors import CheckpointError, ConfigError, DatasetError
from dualsys.testing.faults.disks import SmallDisk, small_disk
from tests.training.training_parts import command, curve, killed_training, record_touch

DISK_KB = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """A dataset, a whole training on it, and one that was killed after its first save."""

    dataset: Path
    whole: Path
    killed: Path


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = tmp_path_factory.mktemp("trainings")
    dataset = record_touch(folder / "touch")
    subprocess.run(command(dataset, folder / "whole"), check=True, timeout=300)
    killed_training(dataset, folder / "killed")
    return Trainings(dataset=dataset, whole=folder / "whole", killed=folder / "killed")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", DISK_KB, or_bound=True) as disk:
        yield disk


def sizes(out: Path) -> tuple[int, int, int]:
    """Bytes of a checkpoint, of its largest file, and of the state."""
    files = [path.stat().st_size for path in out.rglob("*") if path.is_file() and "training" not in path.parts]
    return sum(files), max(files), (out / "training/state.pt").stat().st_size


def contents(out: Path, *names: str) -> list[bytes]:
    return [(out / name).read_bytes() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["checkpoint", "state"])
def test_a_full_disk_costs_nothing_that_was_saved(trainings: Trainings, disk: SmallDisk, what: str) -> None:
    """The disk has too little room for `what`; the other is written before it, or not reached."""
    out = disk.folder / "out"
    shutil.copytree(trainings.killed, out)
    checkpoint, largest, state = sizes(out)
    kept = ["training/state.pt"]
    if what == "checkpoint":
        kept += ["config.json", "planner.safetensors", "actor.safetensors", "statistics.json"]
        limit = disk.leave(checkpoint // 2, largest // 2)
    else:
        limit = disk.leave(checkpoint + state // 2, (largest + state) // 2)
    before = contents(out, *kept)
    resume = command(trainings.dataset, out, "--resume")
    failed = subprocess.run(resume, stderr=subprocess.PIPE, text=True, check=False, timeout=300, preexec_fn=limit)
    assert failed.returncode == 2
    [line] = failed.stderr.splitlines()
    reason = "No space left on device" if disk.is_mounted else "File too large"
    assert line.startswith(f"dualsys: cannot write {out}")
    assert reason in line
    assert f"{reason}. Free some room (" in line
    assert line.endswith(
        "MB are left), or write to another disk; nothing that was there is lost. Go on afterwards with --resume"
    )
    assert contents(out, *kept) == before
    assert not [path for path in out.rglob("*") if "partial" in path.name or path.name == ".saving"]
    disk.make_room()
    subprocess.run(resume, check=True, timeout=300)
    assert curve(out) == curve(trainings.whole)


@pytest.mark.slow
def test_a_training_whose_first_state_finds_no_room_begins_again(trainings: Trainings, disk: SmallDisk) -> None:
    """The checkpoint fits beside it, and is neither gone on from nor in the way."""
    out = disk.folder / "out"
    checkpoint, largest, state = sizes(trainings.killed)
    limit = disk.leave(checkpoint + state // 2, (largest + state) // 2)
    begin = command(trainings.dataset, out)
    failed = subprocess.run(begin, stderr=subprocess.PIPE, text=True, check=False, timeout=300, preexec_fn=limit)
    assert failed.returncode == 2
    [line] = failed.stderr.splitlines()
    assert line.startswith(f"dualsys: cannot write {out / 'training/state.pt'}")
    assert line.endswith("nothing that was there is lost. Start again afterwards")
    assert Checkpoint.open(out).manifest.training["steps"] == 2
    with pytest.raises(CheckpointError, match=r"nothing to resume: .* start without --resume"):
        main(options(trainings.dataset, out))
    disk.make_room()
    subprocess.run(begin, check=True, timeout=300)
    assert curve(out) == curve(trainings.whole)
    assert contents(out, "config.json", "actor.safetensors")[1] == contents(trainings.whole, "actor.safetensors")[0]
    (out / "training/state.pt").unlink()
    with pytest.raises(ConfigError, match="holds a checkpoint that a new training would overwrite"):
        main(options(trainings.dataset, out, resume=False))


@pytest.mark.slow
@pytest.mark.parametrize("left", [0.0, 0.5, 0.999])
def test_a_damaged_state_is_named(trainings: Trainings, tmp_path: Path, left: float) -> None:
    out = tmp_path / "out"
    shutil.copytree(trainings.killed, out)
    state = out / "training/state.pt"
    whole = state.read_bytes()
    state.write_bytes(whole[: int(left * len(whole))])
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"state\.pt \(\d+ bytes\) is damaged or was cut short"):
        main(options(trainings.dataset, out))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


@pytest.mark.slow
def test_data_of_another_robot_or_other_data_is_not_gone_on_with(trainings: Trainings, tmp_path: Path) -> None:
    out, dataset = tmp_path / "out", tmp_path / "touch"
    shutil.copytree(trainings.killed, out)
    shutil.copytree(trainings.dataset, dataset)
    info = json.loads((dataset / "meta/info.json").read_text())
    info["dualsys"]["embodiment"]["name"] = "another-robot"
    (dataset / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(CheckpointError, match=r"robot 'unitree-g1-upper \w+' \(now 'another-robot \w+'\)"):
        main(options(dataset, out))
    assert contents(out, "training/state.pt") == contents(trainings.killed, "training/state.pt")


def options(dataset: Path, out: Path, **more: object) -> TrainConfig:
    """A resumed training, as `command` has it."""
    values = {"steps": 4, "validate_every": 2, "batch_size": 4, "subgoal_tokens": 2, "subgoal_dim": 8, "resume": True}
    return TrainConfig(data=(dataset,), out=out, **(values | more))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_training_that_is_refused_leaves_nothing(trainings: Trainings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="the dataset has no camera 'close'"):
        main(options(trainings.dataset, out, camera="close", resume=False))
    log = tmp_path / "run.jsonl"
    log.write_text('{"kind": "command"}\n')
    kept = {"init": str(trainings.whole), "train": "actor", "subgoal_tokens": 8, "subgoal_dim": 64}
    with pytest.raises(DatasetError, match="no chunk made with a subgoal"):
        main(options(trainings.dataset, out, delay_log=log, resume=False, **kept))
    assert not out.exists()


def test_videos_are_decoded_under_a_bar_and_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = record_touch(tmp_path / "touch")
    shutil.rmtree(dataset / ".frames", ignore_errors=True)
    for is_first in (True, False):
        with pytest.raises(DatasetError, match="the dataset has no camera 'close'"):
            main(options(dataset, tmp_path / "out", camera="close", resume=False))
        said = capsys.readouterr().out
        assert ("decode videos, once" in said) is is_first
        frames = len(DemonstrationDataset.open(dataset).frames)
        assert (f"{frames}/{frames}" in said) is is_first


def test_bfloat16_on_a_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALSYS_DEVICE", "cpu")
    with pytest.raises(ConfigError, match="17 times as long"):
        main(TrainConfig(data=(tmp_path,), out=tmp_path / "out", precision="bfloat16"))
    assert not (tmp_path / "out").exists()


def test_workers_that_cannot_share_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="--batch-size 32 does not divide among 3 workers; use 33"):
        TrainConfig(data=(), out=Path(), workers=3)
    with pytest.raises(ConfigError, match="--ray-address is where --workers run"):
        TrainConfig(data=(), out=Path(), ray_address="auto")
