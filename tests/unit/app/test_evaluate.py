"""Evaluation with the shipped controller: the report's form, the same result for any number of workers, the files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from dualsys.app import cli
from dualsys.app import evaluate as evaluation
from dualsys.app.evaluate import EvalConfig, evaluate, main, tasks_of
from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError, ConfigError
from dualsys.sim_envs import rendering


def test_a_suite_is_all_its_tasks() -> None:
    assert "humanoid/touch" in tasks_of("humanoid")
    assert len(tasks_of("dm_control")) == 51
    assert tasks_of("humanoid/touch") == ["humanoid/touch"]
    with pytest.raises(ConfigError, match="Did you mean 'humanoid'"):
        tasks_of("humanoids")


@pytest.mark.slow
def test_the_report_does_not_depend_on_the_number_of_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[int] = []

    def show(episodes: Iterable[EpisodeResult], *, total: int, description: str) -> Iterator[EpisodeResult]:
        for episode in episodes:
            shown.append(episode.seed)
            yield episode

    alone = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=4))
    monkeypatch.setattr(evaluation, "track", show)
    shared = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=4, workers=2))
    assert alone["tasks"] == shared["tasks"]
    assert shown == [8000, 8001, 8002, 8003]
    (task,) = alone["tasks"]
    assert task["episodes"] == 4
    assert task["success"] == task["successes"] / 4
    assert tuple(task["ci95"]) == wilson_interval(task["successes"], 4)
    assert [episode["seed"] for episode in task["per_episode"]] == [8000, 8001, 8002, 8003]


@pytest.mark.slow
def test_success_hangs_on_the_planner_and_everything_is_written(tmp_path: Path) -> None:
    """Without a subgoal the actor knows nothing of the scene: it touches the named block about once in three."""
    file = tmp_path / "deep" / "null.json"
    config = EvalConfig(
        suite_or_task="humanoid/touch", episodes=10, planner="null", json=file, video_dir=tmp_path / "videos", videos=1
    )
    assert main(config) == 0
    (trained,) = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=10))["tasks"]
    report = json.loads(file.read_text())
    assert report["config"]["planner"] == "null"
    assert report["controller_weights"] == Checkpoint.open("humanoid-table").weights_digest()
    assert {"python", "torch", "mujoco"} <= report["versions"].keys()
    assert report["versions"]["renderer"] == rendering.backend()
    assert trained["successes"] >= 8
    assert report["tasks"][0]["successes"] <= 6
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    videos = list((tmp_path / "videos").glob("*.mp4"))
    assert any(video.name.endswith("failure.mp4") for video in videos)
    with av.open(str(videos[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10


def test_weights_that_change_under_an_evaluation_are_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the folder of a running training is evaluated."""
    checkpoint = tmp_path / "mine"
    shutil.copytree(Checkpoint.open("humanoid-table").folder, checkpoint)
    config = EvalConfig(suite_or_task="humanoid/touch", episodes=1, checkpoint=str(checkpoint), planner="null")
    weights = Checkpoint.open(checkpoint).weights_digest()
    assert evaluate(config)["controller_weights"] == weights

    def save_meanwhile(*parts: Any) -> EpisodeResult:
        statistics = checkpoint / "statistics.json"
        statistics.write_text(statistics.read_text() + "\n")
        return run_episode(*parts)

    monkeypatch.setattr(evaluation, "run_episode", save_meanwhile)
    with pytest.raises(CheckpointError, match=rf"mine was {weights} before the episodes and is \w+ after them"):
        evaluate(config)


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"workers": 0}, {"seed": -1}])
def test_counts_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        EvalConfig(suite_or_task="humanoid/touch", **wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_workers_refuse_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["eval", "humanoid/touch", "--episodes", "4", "--workers", "2", "--planner"]
    assert cli.main([*options, "nul"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dualsys: unknown planner 'nul'. Did you mean 'null'?")
    assert said.count("\n") == 1


DRIVER = """
import signal
import sys
from dualsys.app.cli import main
# A shell that runs the tests in the background has its children ignore Ctrl-C; a person's terminal does not.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def _importing(process_id: int) -> int:
    """Children of more than 24 MiB: Python alone, as it waits for what it is to do, has half of that."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    pages = [int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children]
    return sum(count * os.sysconf("SC_PAGE_SIZE") > 24 * 2**20 for count in pages)


@pytest.mark.slow
def test_ctrl_c_is_one_line_even_while_workers_begin() -> None:
    command = [sys.executable, "-c", DRIVER, "eval", "humanoid/touch", "--episodes", "500", "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline_s = time.monotonic() + 120
        while _importing(process.pid) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert errors == "dualsys: interrupted\n"
