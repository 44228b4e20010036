"""`dualsys run` with real models, physics and pictures, in its three modes; Ray is the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from dualsys.app.run import RunConfig, main, run
from dualsys.app.run_live import LiveTable
from dualsys.bridge.progress import Progress
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import CheckpointError, ConfigError, SpecMismatch
from dualsys.settings import CoreConfig, SafetyConfig, StaleAction, StalenessConfig
from dualsys.sim_envs import make
from dualsys.telemetry import read_log
from dualsys.testing.faults import kill
from tests.integration import bridge_system

ROOT = Path(__file__).parents[2]
TASK = "humanoid/touch"
REPORT_KEYS = {
    "success", "episodes", "successes", "outcomes", "tick", "planner", "actor", "limited", "counters", "versions",
    "config",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(
    make_checkpoint: Callable[[Path, EmbodimentSpec], Path], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Both systems for the humanoid, with random weights."""
    environment = make(TASK)
    folder = make_checkpoint(tmp_path_factory.mktemp("run") / "tiny", environment.embodiment)
    environment.close()
    return str(folder)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """Neither shared memory nor a Ray process of ours."""
    ray_before = bridge_system.ray_daemons()
    yield
    assert list(SHARED_MEMORY.glob(f"{PREFIX}run-{os.getpid()}")) == []
    assert bridge_system.ray_daemons() <= ray_before


def check_report(report: dict[str, Any], config: RunConfig) -> None:
    assert set(report) >= REPORT_KEYS
    assert set(report["tick"]) >= {"hz", "count", "misses", "skipped", "lateness_us"}
    assert set(report["tick"]["lateness_us"]) == {"p50", "p99", "p99_9", "max"}
    assert set(report["planner"]) >= {"hz", "pid", "restarts", "age_s"}
    assert set(report["planner"]["age_s"]) == {"p50", "p99", "max"}
    assert report["actor"]["hz"] > 0
    assert isinstance(report["success"], float)
    assert report["config"]["task"] == config.task
    assert "mujoco" in report["versions"]
    json.dumps(report, allow_nan=False)


def check_log(path: Path, report: dict[str, Any]) -> None:
    """Every command names a chunk and a subgoal that stand in the log, and nothing is missing."""
    lines = read_log(path)
    assert lines[0]["kind"] == "header"
    commands = [line for line in lines if line["kind"] == "command"]
    chunks = {line["sequence"]: line for line in lines if line["kind"] == "chunk"}
    subgoals = {(line["epoch"], line["sequence"]) for line in lines if line["kind"] == "subgoal"}
    assert len(commands) == report["tick"]["count"]
    (end,) = [line for line in lines if line["kind"] == "end"]
    assert end["counters"] == report["counters"]
    assert [line["number"] for line in lines if line["kind"] == "episode"] == list(range(report["counters"]["starts"]))
    assert chunks
    assert subgoals
    for command in commands:
        if command["source"] == "actor":
            chunk = chunks[command["chunk_sequence"]]
            assert (chunk["subgoal_epoch"], chunk["subgoal_sequence"]) == (
                command["subgoal_epoch"],
                command["subgoal_sequence"],
            )
        if command["subgoal_sequence"] >= 0:
            assert (command["subgoal_epoch"], command["subgoal_sequence"]) in subgoals
    limited = sum("velocity" in command["limited"] for command in commands)
    assert limited == report["limited"].get("velocity", 0)


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def run_fresh(arguments: list[str], hash_seed: str) -> None:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "dualsys", *arguments], cwd=ROOT, env=environment, check=True)


@pytest.mark.slow
def test_two_inline_runs_in_fresh_processes_give_the_same_log(checkpoint: str, tmp_path: Path) -> None:
    logs = []
    for hash_seed in ("1", "2"):
        log, figures = tmp_path / f"{hash_seed}.jsonl", tmp_path / f"{hash_seed}.json"
        arguments = ["run", TASK, "--seconds", "1.5", "--control-hz", "50", "--checkpoint", checkpoint]
        run_fresh([*arguments, "--log", str(log), "--json", str(figures)], hash_seed)
        report = json.loads(figures.read_text())
        assert report["tick"]["count"] == 75
        assert report["tick"]["misses"] == 0
        assert report["planner"]["ticks_without_subgoal"] > 0, "the first plan takes its time"
        check_log(log, report)
        logs.append(log.read_bytes())
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_inline_writes_figures_and_a_video(checkpoint: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=TASK,
        seconds=1.0,
        control_hz=50,
        checkpoint=checkpoint,
        video=tmp_path / "a" / "run.mp4",
        json=tmp_path / "b" / "run.json",
    )
    assert main(config) == 0
    report = json.loads((tmp_path / "b" / "run.json").read_text())
    check_report(report, config)
    assert report["episodes"] >= 1
    assert count_frames(tmp_path / "a" / "run.mp4") >= 20


def test_the_run_keeps_the_share_of_the_limits_it_is_given(checkpoint: str, tmp_path: Path) -> None:
    """Random weights want to go fast; a hundredth of each joint's speed is what they get."""
    fastest = []
    for scale in (1.0, 0.01):
        log = tmp_path / f"{scale}.jsonl"
        run(
            RunConfig(
                task=TASK,
                seconds=1.0,
                control_hz=50,
                checkpoint=checkpoint,
                log=log,
                safety=SafetyConfig(velocity_scale=scale),
            )
        )
        targets = np.array([line["target"] for line in read_log(log) if line["kind"] == "command"])
        limits = make(TASK).embodiment.max_velocity
        fastest.append(float((np.abs(np.diff(targets, axis=0)) * 50 / limits).max()))
    assert fastest[0] > 0.02
    assert fastest[1] == pytest.approx(0.01)


@pytest.mark.parametrize(("on_expired", "held"), [("null", False), ("hold", True)])
def test_what_is_done_about_an_expired_subgoal_is_chosen(checkpoint: str, on_expired: StaleAction, held: bool) -> None:
    subgoal = StalenessConfig(fresh_s=0.05, usable_s=0.05, expire_s=0.05, on_expired=on_expired)
    report = run(
        RunConfig(task=TASK, seconds=1.0, control_hz=50, checkpoint=checkpoint, core=CoreConfig(subgoal=subgoal))
    )
    assert report["config"]["core"]["subgoal"]["on_expired"] == on_expired
    assert (report["counters"]["held_ticks"] > 0) is held
    assert (report["counters"]["playing_ticks"] > 0) is not held


@pytest.mark.slow
def test_threads_mode(checkpoint: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=TASK,
        mode="threads",
        seconds=3.0,
        control_hz=100,
        checkpoint=checkpoint,
        log=tmp_path / "run.jsonl",
        video=tmp_path / "run.mp4",
    )
    report = run(config)
    check_report(report, config)
    check_log(tmp_path / "run.jsonl", report)
    served = report["tick"]["count"] + report["tick"]["skipped"] + report["counters"]["ticks_in_resets"]
    assert served == pytest.approx(300, abs=2)
    assert count_frames(tmp_path / "run.mp4") > 45
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_processes_mode_with_ray_survives_a_killed_planner(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite's one Ray cluster: the launcher's own."""
    victims: list[int] = []
    killed_s: list[float] = []
    seen: list[dict[str, Any]] = []

    def show(self: LiveTable, progress: Progress) -> None:
        planner, tick = progress.statuses.get("planner", {}), progress.statuses.get("tick", {})
        if planner:
            look = {"time_s": time.monotonic(), "epoch": planner["epoch"], "pid": planner["pid"]}
            seen.append(look | {"ticks": tick.get("count", 0)})
        if not victims and tick.get("subgoals", 0) >= 2:
            victims.append(planner["pid"])
            killed_s.append(time.monotonic())
            kill(planner["pid"])
        if len(victims) == 1 and planner["epoch"] == 2 and planner["plans"] >= 5:
            victims.append(tick["pid"])
            os.kill(tick["pid"], signal.SIGTERM)

    monkeypatch.setattr(LiveTable, "show", show)
    config = RunConfig(
        task=TASK, mode="processes", seconds=200.0, checkpoint=checkpoint, launcher="ray", log=tmp_path / "run.jsonl"
    )
    report = run(config)
    check_report(report, config)
    check_log(tmp_path / "run.jsonl", report)
    assert victims
    assert report["planner"]["restarts"] == 1
    assert report["planner"]["pid"] != victims[0]
    assert report["planner"]["life"]["state"] == "ready"
    epochs = [look["epoch"] for look in seen]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 2
    # From the kill until the new planner's first sign: a tick that waited for it would have served none.
    gone = [look for look in seen if look["pid"] == victims[0] and look["time_s"] >= killed_s[0]]
    due = 500 * (gone[-1]["time_s"] - gone[0]["time_s"] - 0.5)
    assert gone[-1]["ticks"] - gone[0]["ticks"] > 0.8 * due > 0
    lines = read_log(tmp_path / "run.jsonl")
    sequences = [(line["epoch"], line["sequence"]) for line in lines if line["kind"] == "subgoal"]
    assert sequences == sorted(sequences)
    assert {epoch for epoch, _ in sequences} == {1, 2}
    assert [sequence for _, sequence in sequences] == list(range(len(sequences)))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["inline", "threads"])
def test_ctrl_c_ends_a_run_with_its_figures(
    checkpoint: str, tmp_path: Path, mode: Literal["inline", "threads"], monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[Progress] = []
    show = LiveTable.show

    def press(table: LiveTable, progress: Progress) -> None:
        show(table, progress)
        if not pressed and progress.statuses.get("tick", {}).get("count", 0) > 20:
            pressed.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LiveTable, "show", press)
    config = RunConfig(
        task=TASK,
        checkpoint=checkpoint,
        mode=mode,
        seconds=600.0,
        control_hz=50.0,
        json=tmp_path / "run.json",
        log=tmp_path / "run.jsonl",
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(config) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["interrupted"]
    assert 20 < report["tick"]["count"] < 600 * 50
    check_log(tmp_path / "run.jsonl", report)


def test_what_cannot_be_written_is_refused_before_the_run(checkpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--video"):
        run(RunConfig(task=TASK, checkpoint=checkpoint, video=tmp_path, json=tmp_path / "run.json"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_costs_a_run_its_log_and_not_its_figures(checkpoint: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=TASK,
        checkpoint=checkpoint,
        mode="threads",
        seconds=1.0,
        control_hz=50.0,
        json=tmp_path / "run.json",
        log=tmp_path / "run.jsonl",
    )
    (tmp_path / "run.jsonl").symlink_to("/dev/full")
    assert main(config) == 1
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["tick"]["count"] > 0
    assert "No space left" in report["not_written"][0]
    assert (tmp_path / "run.jsonl.parts" / "commands.jsonl").exists()


def test_bad_input_is_one_clear_error(checkpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="humanoid/touch"):
        run(RunConfig(task="humanoid/tuoch", checkpoint=checkpoint))
    with pytest.raises(CheckpointError, match="nowhere"):
        run(RunConfig(task=TASK, checkpoint="nowhere"))
    with pytest.raises(ConfigError, match="does not divide"):
        run(RunConfig(task=TASK, checkpoint=checkpoint, control_hz=333.0))
    with pytest.raises(ConfigError, match="above 0"):
        RunConfig(task=TASK, seconds=0)
    with pytest.raises(CheckpointError, match="embodiment"):
        run(RunConfig(task="dm_control/cartpole-balance", checkpoint=checkpoint, control_hz=100))
    for mode in ("inline", "threads"):
        with pytest.raises(SpecMismatch, match="subgoals"):
            run(
                RunConfig(
                    task=TASK,
                    checkpoint=checkpoint,
                    mode=mode,
                    seconds=1.0,
                    planner="tests.integration.bridge_parts:OtherPlanner",
                )
            )
