"""`dualsys demos humanoid/touch` as a user runs it: real environment, real processes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.data import DemonstrationDataset
from dualsys.testing.faults import kill

pytestmark = pytest.mark.slow
TAIL_ROWS = 15


def _command(out: Path, *options: str) -> list[str]:
    base = [sys.executable, "-m", "dualsys.app.cli", "demos", "humanoid/touch", "--seed", "20", "--out", str(out)]
    return [*base, *options]


def _record(out: Path, *options: str) -> None:
    done = subprocess.run(_command(out, *options), capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr


def _digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demos") / "touch"
    _record(out, "--episodes", "6")
    return out


def test_any_number_of_workers_gives_the_same_files(recorded: Path, tmp_path: Path) -> None:
    _record(tmp_path / "two", "--episodes", "6", "--workers", "2")
    assert _digests(tmp_path / "two") == _digests(recorded)


def test_killed_and_resumed_gives_the_same_files(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    staging = out / ".recording"
    process = subprocess.Popen(_command(out, "--episodes", "6"), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline_s = time.monotonic() + 120
    while len(list(staging.glob("*.npz"))) < 2 and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(staging.glob("*.npz"))) >= 2
    assert not (out / "meta/info.json").exists()
    _record(out, "--episodes", "6", "--resume")
    assert _digests(out) == _digests(recorded)


def _children(process_id: int) -> list[int]:
    task = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in task.read_text().split()]


def _wait_for_first_episode(process: subprocess.Popen[Any], out: Path) -> None:
    deadline_s = time.monotonic() + 120
    while not list(out.glob(".recording/*.npz")) and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.05)


def test_workers_leave_when_the_recorder_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "orphans"
    command = _command(out, "--episodes", "500", "--workers", "2")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        _wait_for_first_episode(process, out)
        children = _children(process.pid)
        process.kill()
    assert len(children) >= 2
    deadline_s = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def test_a_worker_that_dies_is_an_error_and_keeps_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "broken"
    command = _command(out, "--episodes", "500", "--workers", "2")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        _wait_for_first_episode(process, out)
        kill(max(_children(process.pid)))
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "a recording process died" in " ".join(errors.split())
    assert list(out.glob(".recording/*.npz"))


def test_frames_are_what_the_camera_sees(recorded: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path))  # keeps the recording as it is for the other tests
    data = DemonstrationDataset.open(recorded)
    monkeypatch.delenv("DUALSYS_CACHE")
    environment = sim_envs.make("humanoid/touch", images="on-demand")
    try:
        for episode, seed in enumerate(data.seeds.tolist()):
            environment.reset(seed=seed)
            observation = environment.observe()
            start = data.episode_starts[episode]
            np.testing.assert_array_equal(data.states[start], observation.state.astype(np.float32))
            assert data.instructions[episode] == environment.instruction
            error = data.frames[data.frame_of_row[start]].astype(float) - observation.images["head"]
            assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
    finally:
        environment.close()


def test_actions_lead_states(recorded: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row `t` pairs a state with the target sent after it, so states come closest to a target some rows later."""
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path))
    data = DemonstrationDataset.open(recorded)
    gaps = []
    for lag in range(9):
        distances = []
        for start, length in zip(data.episode_starts, data.episode_lengths, strict=True):
            stop = start + length - TAIL_ROWS
            arms = slice(0, 14)
            later = data.states[start + lag : stop, arms]
            distances.append(np.abs(later - data.actions[start : stop - lag, arms]).mean())
        gaps.append(np.mean(distances))
    assert 1 <= int(np.argmin(gaps)) <= 5
    np.testing.assert_allclose(
        data.actions[data.episode_starts], data.states[data.episode_starts], atol=0.1
    )  # the expert starts from where the joints are
