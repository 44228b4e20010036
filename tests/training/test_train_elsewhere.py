"""A job packed here, done from the archive alone, split, and put together again."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from dualsys.app.controller import Controller
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.sim_envs.humanoid.meshes import CACHE_VERSION, XML_NAME
from tests.conftest import MakeCheckpoint
from tests.training.training_parts import record_touch
from tools import carried_parts, train_elsewhere
from tools.plan_check import check_plan

ROOT = Path(__file__).parents[2]
DEMOS = "humanoid/touch --episodes 3 --tail-s 0"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: MakeCheckpoint) -> Path:
    """A checkpoint to start from, with what a training has left in it."""
    folder = tmp_path_factory.mktemp("here")
    embodiment = DemonstrationDataset.open(record_touch(folder / "touch")).embodiment
    assert embodiment is not None
    mine = make_checkpoint(folder / "mine", embodiment)
    (mine / "training").mkdir()
    (mine / "training/state.pt").write_bytes(bytes(1000))
    return mine


@pytest.fixture(scope="module")
def job(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked: a dataset and a checkpoint taken along, another dataset to be recorded there."""
    folder = tmp_path_factory.mktemp("there")
    archive = folder / "job.tar.gz"
    packing = ["pack", str(archive), "--data", str(base.parent / "touch"), "--checkpoint", str(base), "--demos", DEMOS]
    training = "--init checkpoints/mine --steps 2 --batch-size 4"
    evaluation = "humanoid/touch --episodes 1 --seed 8000 --checkpoint checkpoints/mine"
    assert train_elsewhere.main([*packing, "--train", training, "--eval", evaluation]) == 0
    assert archive.stat().st_size < 64 * 2**20
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "job"


@pytest.fixture(scope="module")
def done(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job, done there: stopped at first, from another folder then."""
    stopped = work(job, "--limit-s", "0.5")
    assert stopped.returncode == train_elsewhere.NOT_DONE, stopped.stderr
    assert "the same command goes on from here" in stopped.stdout
    (job / "out/training").mkdir(parents=True)
    (job / "out/training/eval-0.json").write_text('{"tasks": [')  # what is cut short is not done
    (job / "out/noise.bin").write_bytes(os.urandom(16 * 2**20))  # more than a part holds
    finished = work(job, "--state", cwd=tmp_path_factory.mktemp("elsewhere"))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return job


def work(job: Path, *more: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Done by the archive's own code, in a place where nothing else of ours is."""
    script = job / "repository/tools/train_elsewhere.py"
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DUALSYS_CACHE")}
    return subprocess.run(
        [sys.executable, str(script), "work", *more],
        cwd=cwd or job, env=environment | {"HOME": str(job)}, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


def test_the_archive_has_meshes_and_plug_ins(job: Path) -> None:
    assert (job / "cache" / CACHE_VERSION / XML_NAME).is_file()
    [found] = [
        each for each in importlib.metadata.distributions(path=[str(job / "repository")]) if each.name == "dualsys"
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {(group, *item) for group, points in project["entry-points"].items() for item in points.items()}
    points = {(each.group, each.name, each.value) for each in found.entry_points}
    assert points == wanted | {("console_scripts", "dualsys", "dualsys.app.cli:main")}
    assert (job / "repository/dualsys/planner").is_symlink()


def test_a_job_is_done_there_and_comes_back_whole(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = sorted((done / "parts").glob("part-*"))
    assert len(parts) > 1
    assert max(part.stat().st_size for part in parts) < 16 * 2**20

    joined = tmp_path / "joined"
    assert train_elsewhere.main(["join", str(done / "parts"), str(joined)]) == 0
    out = done / "out"
    names = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert names == {path.relative_to(joined) for path in joined.rglob("*") if path.is_file()}
    assert {Path("training/state.pt"), Path("training/eval-0.json"), Path("training/report.html")} < names
    for name in names:
        assert (joined / name).read_bytes() == (out / name).read_bytes()
    assert Checkpoint.open(joined).manifest.training["steps"] == 2
    Controller.from_checkpoint(joined).close()

    capsys.readouterr()
    assert train_elsewhere.main(["join", str(done / "parts"), str(joined)]) == 2
    assert "is not empty" in capsys.readouterr().err
    piece = bytearray(parts[1].read_bytes())
    piece[100] ^= 1
    parts[1].write_bytes(piece)
    assert train_elsewhere.main(["join", str(done / "parts"), str(tmp_path / "damaged")]) == 2
    assert "part-001 has" in capsys.readouterr().err
    parts[1].unlink()
    assert train_elsewhere.main(["join", str(done / "parts"), str(tmp_path / "damaged")]) == 2
    assert "part-001 is missing" in capsys.readouterr().err
    assert not (tmp_path / "damaged").exists()


def test_a_job_starts_from_a_checkpoint_and_a_dataset_that_were_taken_along(base: Path, done: Path) -> None:
    names = {path.relative_to(done / "checkpoints/mine") for path in (done / "checkpoints/mine").rglob("*")}
    assert names == {path.relative_to(base) for path in base.rglob("*")} - {Path("training"), Path("training/state.pt")}
    made, known = Checkpoint.open(done / "out").manifest, Checkpoint.open(base).manifest
    assert {Path(each).name for each in made.training["config"]["data"]} == {"recorded-0", "touch"}
    assert made.subgoal.num_tokens == known.subgoal.num_tokens == 3
    assert made.actor.config == known.actor.config
    [report] = [json.loads(path.read_text()) for path in (done / "out/training").glob("eval-*.json")]
    assert report["config"]["checkpoint"] == "checkpoints/mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--data", "a/touch", "--data", "b/touch/"],
            "--data a/touch and --data b/touch would both be data/touch",
        ),
        (["--data", "recorded-0", "--demos", DEMOS], "--data recorded-0 would be data/recorded-0 there"),
        (["--checkpoint", "a/touch"], "--checkpoint a/touch is none: it has no config.json"),
        (
            ["--checkpoint", "c/x", "--checkpoint", "d/x"],
            "c/x and --checkpoint d/x would both be checkpoints/x there",
        ),
        (["--data", "nowhere"], "nowhere is no folder"),
    ],
)
def test_folders_that_cannot_be_taken_along_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    for name in ("a/touch", "b/touch", "recorded-0", "c/x", "d/x"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert train_elsewhere.main(["pack", "job.tar.gz", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "job.tar.gz").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--demos", "humanoid/touch --episods 3"],
            "--demos 'humanoid/touch --episods 3': dualsys demos does not take",
        ),
        (["--demos", "humanoid/touch --episodes 0"], "--episodes and --workers must be at least 1"),
        (["--demos", DEMOS, "--train", "--data-shares 1 2"], "--data-shares has 2 numbers, --data 1 folders"),
        (["--demos", DEMOS, "--train", "--actor.horizon 0"], "--actor.horizon 0 must be above 0"),
        (["--demos", DEMOS, "--train", "--name 'mine"], "No closing quotation"),
        (["--demos", f"{DEMOS} --help"], "this shows help and does nothing"),
        (["--demos", DEMOS, "--eval", "humanoid/touch --planner nul"], "Did you mean 'null'?"),
        (["--demos", DEMOS, "--eval", "humanoid/touch more"], "--eval 'humanoid/touch more': dualsys eval does not"),
        ([], "nothing to train on"),
    ],
)
def test_a_plan_that_would_fail_there_is_refused_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    archive = tmp_path / "job.tar.gz"
    assert train_elsewhere.main(["pack", str(archive), *options]) == 2
    assert said in capsys.readouterr().err
    assert not archive.exists()


def test_a_configuration_in_the_checkout_is_read_as_it_will_be_there(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text("[train]\nsteps = 7\n")
    plan = {"demos": [], "train": "--config repository/train.toml", "eval": []}
    check_plan(plan, ["touch"], tmp_path)
    (tmp_path / "train.toml").write_text("[train]\nstps = 7\n")
    with pytest.raises(carried_parts.Refusal, match="Did you mean 'steps'"):
        check_plan(plan, ["touch"], tmp_path)


def test_work_and_join_need_the_standard_library_alone() -> None:
    program = (
        "import sys; sys.argv = ['x', '--help']; from tools import train_elsewhere;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["tools"]


def test_datasets_are_trained_on_in_the_order_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten and more recordings, too: a sorted `recorded-10` comes before `recorded-2`, and `--data-shares` count."""
    demos = [word for number in range(11) for word in ("--demos", f"suite/task-{number} --episodes 1")]
    (tmp_path / "touch/meta").mkdir(parents=True)
    (tmp_path / "touch/meta/info.json").touch()
    archive = tmp_path / "job.tar.gz"
    assert train_elsewhere.main(["pack", str(archive), "--data", str(tmp_path / "touch"), *demos]) == 0
    names = [f"recorded-{number:02d}" for number in range(11)] + ["touch"]
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"datasets, in the order in which the training gets them: {', '.join(names)}"
    with tarfile.open(archive) as packed:
        plan = json.loads(packed.extractfile("job/plan.json").read())  # type: ignore[union-attr]
    for name in names:
        (tmp_path / "data" / name / "meta").mkdir(parents=True)
        (tmp_path / "data" / name / "meta/info.json").touch()
    *recordings, training = train_elsewhere._stages(plan, tmp_path, tmp_path / "out")
    for stage in (*recordings, training):
        stage(0.0)  # each is stopped at once: what it was asked is said before
    *recorded, trained = capsys.readouterr().out.splitlines()
    for number, line in enumerate(recorded):
        assert line.startswith(f"dualsys demos suite/task-{number} --episodes 1 --out {tmp_path}/data/{names[number]} ")
    assert trained == " ".join(
        ["dualsys train --data", *(f"{tmp_path}/data/{name}" for name in names), "--out", f"{tmp_path}/out"]
    )


def test_what_only_a_resumed_training_needs_is_left_there(tmp_path: Path) -> None:
    out, parts = tmp_path / "out", tmp_path / "parts"
    needless = {"training/state.pt", "training/subgoals.npy", "training/subgoals.json"}
    whole = needless | {"config.json", "training/log.jsonl", "training/videos/state.pt"}
    for name in whole:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(name)
    for with_state, expected in ((False, whole - needless), (True, whole)):
        carried_parts.split(out, parts, with_state=with_state)
        carried_parts.join(parts, tmp_path / f"joined-{with_state}")
        assert {name for name, _ in carried_parts.files_in(tmp_path / f"joined-{with_state}")} == expected


def test_an_archive_that_is_too_large_says_of_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/video.mp4").write_bytes(os.urandom(2**20))
    monkeypatch.setattr(train_elsewhere, "MAX_ARCHIVE_BYTES", 2**20)
    archive = tmp_path / "job.tar.gz"
    assert train_elsewhere.main(["pack", str(archive), "--data", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert "1 are allowed" in said
    assert "data 1.0 MiB" in said
    assert "record it there, with --demos" in said
    assert not archive.exists()
