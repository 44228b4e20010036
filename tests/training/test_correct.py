"""`dualsys correct humanoid/pick` as a user runs it: real physics, real models with random weights, real processes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.app import cli
from dualsys.app.correct import CorrectConfig, make_parts
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.rollout import run_episode
from dualsys.data import DemonstrationDataset
from dualsys.testing.faults.disks import small_disk

pytestmark = pytest.mark.slow
FIRST, EPISODES, MOMENTS = 100, 2, 2


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    environment = sim_envs.make("humanoid/pick", images="on-demand")
    environment.close()
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", environment.embodiment)


DRIVER = """
import signal
import sys
from dualsys.app.cli import main
# A shell that runs the tests in the background has its children ignore Ctrl-C; a person's terminal does not.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def command(controller: Path, out: Path, *more: str) -> list[str]:
    options = {"checkpoint": controller, "out": out, "seed": FIRST, "episodes": EPISODES, "moments": MOMENTS}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-c", DRIVER, "correct", "humanoid/pick", *flags, *more]


def run(controller: Path, out: Path, *more: str) -> None:
    """In this process, which has everything imported."""
    assert cli.main(command(controller, out, *more)[3:]) == 0


def digests(root: Path) -> dict[str, str]:
    files = [file for file in root.rglob("*") if file.is_file() and ".frames" not in file.parts]
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(controller: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corrections") / "whole"
    done = subprocess.run(command(controller, out), capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert f"the controller solved 0 of {EPISODES}" in done.stderr
    return out


@pytest.fixture(autouse=True)
def frames_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Opening a dataset leaves it as it is."""
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path / "cache"))


def test_the_expert_takes_over_where_the_controller_was_and_picks(controller: Path, whole: Path) -> None:
    data = DemonstrationDataset.open(whole)
    numbers = {100 * seed + number for seed in range(FIRST, FIRST + EPISODES) for number in range(MOMENTS)}
    assert set(data.seeds.tolist()) <= numbers
    assert data.num_episodes >= 2, "arms that were flung about may leave the expert no way"
    assert data.success.all()
    parts = CorrectConfig(task="humanoid/pick", out=whole, checkpoint=str(controller))
    environment, policy, _ = make_parts(parts)
    states: list[np.ndarray] = []
    for seed in range(FIRST, FIRST + EPISODES):
        states.clear()
        run_episode(
            environment, policy, seed, on_step=lambda _: states.append(environment.observe().state.astype(np.float32))
        )
        for start, number in zip(data.episode_starts, data.seeds, strict=True):
            if number // 100 == seed:
                assert any(np.array_equal(data.states[start], state) for state in states[:-1])
                assert not np.array_equal(data.states[start], states[-1])
    environment.close()


def test_two_processes_give_the_same_files(controller: Path, whole: Path, tmp_path: Path) -> None:
    run(controller, tmp_path / "two", "--workers", "2")
    assert digests(tmp_path / "two") == digests(whole)


@pytest.mark.parametrize(("signal_number", "workers"), [(signal.SIGINT, "2"), (signal.SIGKILL, "1")])
def test_stopped_and_resumed_gives_the_same_files(
    controller: Path, whole: Path, tmp_path: Path, signal_number: int, workers: str
) -> None:
    """Ctrl-C goes to every process of a terminal, and is one line."""
    out = tmp_path / "stopped"
    options = command(controller, out, "--workers", workers)
    with subprocess.Popen(options, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline_s = time.monotonic() + 240
        while not list(out.glob(".recording/*.npz")) and process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
        os.killpg(process.pid, signal_number)
        _, errors = process.communicate(timeout=120)
    if signal_number == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert errors.splitlines()[-1] == "dualsys: interrupted"
    assert not (out / "meta/info.json").exists()
    assert list(out.glob(".recording/*.npz"))
    run(controller, out, "--resume")
    assert digests(out) == digests(whole)


def test_a_full_disk_is_one_line_and_costs_nothing(controller: Path, whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        out = disk.folder / "corrections"
        done = subprocess.run(command(controller, out), capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("dualsys: ")]
        assert "No space left on device. Free some room" in line
        assert "Traceback" not in done.stderr
        disk.resize(64 * 1024)
        run(controller, out, "--resume")
        assert digests(out) == digests(whole)


def test_corrections_are_of_the_same_kind_as_demonstrations(whole: Path, tmp_path: Path) -> None:
    demos = tmp_path / "demos"
    record_demonstrations(DemosConfig(task="humanoid/pick", episodes=1, out=demos))
    data = DemonstrationDataset.open([demos, whole])
    corrections = DemonstrationDataset.open(whole)
    assert data.folder_of_episode.tolist() == [0] + [1] * corrections.num_episodes
    assert sorted(data.extras) == sorted(corrections.extras)
