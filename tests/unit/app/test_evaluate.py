"""Evaluation with the shipped controller: the report's form, the same result for any number of workers, the files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from dualsys.app import cli
from dualsys.app.evaluate import evaluate, main
from dualsys.app.evaluation import episodes
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.job import EpisodeJob, PlayedEpisode
from dualsys.app.evaluation.progress import EvaluationProgress
from dualsys.app.evaluation.report import task_report
from dualsys.app.evaluation.table import result_table, show
from dualsys.app.evaluation.tasks import tasks_of
from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CannotWrite, CheckpointError, ConfigError
from dualsys.sim_envs import rendering

FAILED = EpisodeResult(seed=0, instruction="", success=False, duration_s=1.0, reward=2.5, limited_ticks=0, info={})


def test_a_suite_is_all_its_tasks() -> None:
    assert "humanoid/touch" in tasks_of("humanoid")
    assert len(tasks_of("dm_control")) == 51
    assert tasks_of("humanoid/touch") == ["humanoid/touch"]
    with pytest.raises(ConfigError, match="Did you mean 'humanoid'"):
        tasks_of("humanoids")
    with pytest.raises(ConfigError, match="Did you mean 'humanoid/touch'"):
        tasks_of("humanoid/tuch")


@pytest.mark.slow
def test_the_report_does_not_depend_on_the_number_of_workers() -> None:
    alone = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=4))
    shared = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=4, workers=2))
    assert (alone["timings"]["workers"], shared["timings"]["workers"]) == (1, 2)
    assert {**alone, "timings": None} == {**shared, "timings": None}
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

    def save_meanwhile(*parts: Any, **options: Any) -> EpisodeResult:
        statistics = checkpoint / "statistics.json"
        statistics.write_text(statistics.read_text() + "\n")
        return run_episode(*parts, **options)

    monkeypatch.setattr(episodes, "run_episode", save_meanwhile)
    with pytest.raises(CheckpointError, match=rf"mine was {weights} before the episodes and is \w+ after them"):
        evaluate(config)


def test_chunks_that_are_refused_are_shown_and_an_actor_that_gives_no_other_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that are no numbers: every chunk is refused, and the robot stands."""
    checkpoint = tmp_path / "mine"
    shutil.copytree(Checkpoint.open("humanoid-table").folder, checkpoint)
    weights = Checkpoint.open(checkpoint).manifest.actor.weights
    assert weights is not None
    file = checkpoint / weights
    save_file({name: value * float("nan") for name, value in load_file(file).items()}, file)
    config = EvalConfig(suite_or_task="humanoid/touch", episodes=1, checkpoint=str(checkpoint), planner="null")
    report = evaluate(config)
    (task,) = report["tasks"]
    refused = task["chunks"]["chunks_refused_finite"]
    assert task["chunks"]["chunks"] == 0
    assert 0 < refused <= task["chunks"]["requests"]
    assert task["per_episode"][0]["chunks"]["chunks_refused_finite"] == refused
    show(report)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"finite {refused}" in printed
    assert f"humanoid/touch: warning: no chunk of the actor's was ever accepted (refused: finite {refused})" in printed


def test_names_of_tasks_are_whole_in_a_pipe_and_folded_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut, those that differ at their end can't be told apart."""
    names = [f"metaworld/plate-slide-back-{side}v3" for side in ("side-", "")]
    config = EvalConfig(suite_or_task="metaworld/plate-*", planner="null", actor="hold").plain()
    tasks = [task_report(name, [FAILED]) for name in names]
    report = {"tasks": tasks, "config": config, "timings": {"worker_deaths": []}}
    monkeypatch.delenv("COLUMNS", raising=False)
    show(report)
    printed = capsys.readouterr().out
    assert all(f" {name} " in printed for name in names)
    narrow = Console(width=60)
    narrow.print(result_table(report))
    cells = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(cells) == "".join(names)


def test_progress_tells_returns_where_those_count(capsys: pytest.CaptureFixture[str]) -> None:
    job = EpisodeJob(evaluation=0, task="dm_control/walker-walk", seed=0)
    for by_return, said in ((True, "1/2 episodes, mean return 2.5,"), (False, "1/2 episodes, 0 of 1 succeeded,")):
        progress = EvaluationProgress(total=2, done=0, by_return=by_return)
        progress._work._last_line_s = -1e9
        progress.note(PlayedEpisode(job=job, result=FAILED, wall_s=1.0))
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_figures_are_not_there_before_the_films(tmp_path: Path) -> None:
    """Nor a part of them: what is left of an evaluation that was stopped must not be taken for one that is done."""
    file, videos = tmp_path / "one.json", tmp_path / "videos"
    for end in ("success", "failure"):
        (videos / f"humanoid-touch-8000-{end}.mp4").mkdir(parents=True)  # no film can be written over it
    config = EvalConfig(suite_or_task="humanoid/touch", episodes=1, json=file, video_dir=videos, videos=1)
    with pytest.raises(CannotWrite, match="directory"):
        main(config)
    assert not file.exists()
    with pytest.raises(ConfigError, match=r"one\.partial\.jsonl holds 1 episodes .* add --resume"):
        main(replace(config, video_dir=None))
    assert main(replace(config, video_dir=None, resume=True)) == 0
    assert json.loads(file.read_text())["tasks"][0]["episodes"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "one.png", "videos"]


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"workers": 0}, {"seed": -1}])
def test_counts_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        EvalConfig(suite_or_task="humanoid/touch", **wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_workers_refuse_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["eval", "humanoid/touch", "--episodes", "4", "--workers", "2", "--planner"]
    assert cli.main([*options, "nul"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dualsys: --planner: unknown planner 'nul'. Did you mean 'null'?")
    assert said.count("\n") == 1
