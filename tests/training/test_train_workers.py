"""Two workers under real Ray Train: the curve of one process, through the death of a worker."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualsys.app.cli import main
from dualsys.app.training.progress import TrainingFolder
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.testing.faults import kill
from tests.conftest import MakeCheckpoint
from tests.integration.bridge_system import processes_of, ray_daemons
from tests.training.training_parts import command, curve, record_touch

ROOT = Path(__file__).parents[2]
STEPS = 16
LENGTH = ["--steps", str(STEPS), "--validate-every", "4"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process of Ray's may be there afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    deadline_s = time.monotonic() + 30
    while ray_daemons() and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert ray_daemons() == set()


def test_two_workers_have_the_curve_of_one_process_though_one_of_them_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: MakeCheckpoint
) -> None:
    """From the same weights, too: workers have working directories of their own, paths are those of whoever calls."""
    embodiment = DemonstrationDataset.open(record_touch(tmp_path / "data/touch")).embodiment
    assert embodiment is not None
    make_checkpoint(tmp_path / "base", embodiment)
    monkeypatch.chdir(tmp_path)
    training = ["train", "--data", "data/touch", "--init", "base", "--batch-size", "4", *LENGTH, "--out"]
    assert main([*training, "alone"]) == 0
    with subprocess.Popen(
        [sys.executable, "-m", "dualsys", *training, "shared", "--workers", "2"], stdout=subprocess.PIPE, text=True
    ) as process:
        _await_a_saved_state(Path("shared"), process)
        workers = processes_of("ray::RayTrainWorker") & ray_daemons()
        assert workers, "no worker to kill"
        kill(max(workers))
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    starts = TrainingFolder(Path("shared")).starts()
    assert [start["workers"] for start in starts] == [2, 2]
    assert starts[0]["step"] == 0
    assert 0 < starts[1]["step"] < STEPS
    assert f"started again, from step {starts[1]['step']}" in said
    assert Checkpoint.open("shared").manifest.actor.config == Checkpoint.open("base").manifest.actor.config
    ours, theirs = curve(Path("shared")), curve(Path("alone"))
    assert [record["step"] for record in ours] == [record["step"] for record in theirs]
    for our, their in zip(ours, theirs, strict=True):
        # Seen: 6e-7. A mean of means was off by 7e-3, noise of a worker's own by 3e-2.
        assert our == pytest.approx(their, rel=1e-4)


def test_ctrl_c_ends_the_workers_and_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    training = command(record_touch(tmp_path / "touch"), out, "--steps", "100000", "--workers", "2")
    with _started(training) as process:
        _await_a_saved_state(out, process)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said == "dualsys: interrupted\n"
    assert "Go on afterwards with --resume" in printed


def test_ctrl_c_while_workers_start_is_not_waited_for(tmp_path: Path) -> None:
    """Ray Train would let them start first, which takes as long again as it took to come so far."""
    training = command(record_touch(tmp_path / "touch"), tmp_path / "out", "--steps", "100000", "--workers", "2")
    begun_s = time.monotonic()
    with _started(training) as process:
        while not processes_of("ray::TrainController") & ray_daemons():
            assert process.poll() is None, "it ended before its controller began"
            time.sleep(0.02)
        time.sleep(1.0)
        pressed_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=120)
        ended_s = time.monotonic()
    assert process.returncode == 130
    assert said == "dualsys: interrupted\n"
    assert "Start again afterwards" in printed
    assert not (tmp_path / "out/training/starts.jsonl").exists()
    assert ended_s - pressed_s < pressed_s - begun_s


@pytest.mark.parametrize(
    "command_line", [["train", "--data", "nowhere"], ["run", "humanoid/touch"]], ids=["train", "run"]
)
def test_a_cluster_that_is_not_there_is_refused_at_once(
    tmp_path: Path, command_line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before data is read or a scene is built."""
    more = {"train": ["--workers", "2", "--out", str(tmp_path / "out")], "run": ["--mode", "processes"]}
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        assert main([*command_line, *more[command_line[0]], "--ray-address", address]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dualsys: no Ray cluster answers at --ray-address {address} (")
    assert "ray start --head" in said
    assert said.count("\n") == 1


@contextmanager
def _started(line: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A training that Ctrl-C reaches, however the tests were started; nothing is left of it."""
    # What is started in the background ignores Ctrl-C, and so does all that it starts.
    line = ["env", "--default-signal=INT", *line]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def _await_a_saved_state(out: Path, process: "subprocess.Popen[str]") -> None:
    while not (out / "training/state.pt").exists():
        assert process.poll() is None, "it ended before its first save"
        time.sleep(0.02)
