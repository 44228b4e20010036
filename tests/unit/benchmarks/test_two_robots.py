"""The commands of two robots are understood, go on where they were stopped, and ask for the second robot."""

from pathlib import Path

import pytest

from benchmarks.two_robots import TwoRobotsConfig, commands, figures, main, result_file
from dualsys.app import cli
from dualsys.app.training.progress import TrainingFolder
from dualsys.errors import ConfigError
from dualsys.files import write_json


def test_every_command_is_understood(tmp_path: Path) -> None:
    config = TwoRobotsConfig(out=tmp_path, touches=3, steps=2)
    parsed = []
    for command in commands(config):
        name, arguments = cli.split_command(command)
        parsed.append((name, cli.parse_options(name, arguments)))
    touch, reach, training, *evaluations = (options for _, options in parsed)
    assert [name for name, _ in parsed] == ["demos", "demos", "train", "eval", "eval"]
    assert (touch.episodes, touch.noise_rad, touch.tail_s) == (3, 0.015, 0.0)
    assert training.data == (touch.out, reach.out)
    assert (training.init, training.init_parts, training.steps) == ("humanoid-table", "planner", 2)
    assert [each.checkpoint for each in evaluations] == [str(training.out)] * 2
    assert [each.suite_or_task for each in evaluations] == [touch.task, reach.task]
    assert all(options.resume for _, options in parsed if options is not training)


def test_a_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    config = TwoRobotsConfig(out=tmp_path)
    assert "--resume" not in commands(config)[2]
    state = TrainingFolder(tmp_path / "both").state_file
    state.parent.mkdir(parents=True)
    state.touch()
    assert "--resume" in commands(config)[2]


def test_figures_are_the_evaluation_s_own(tmp_path: Path) -> None:
    path = result_file(TwoRobotsConfig(out=tmp_path), "arm/reach")
    task = {"task": "arm/reach", "episodes": 4, "successes": 3, "success": 0.75, "ci95": [0.3, 0.95], "more": 1}
    write_json(path, {"tasks": [task], "controller_weights": "abc"})
    assert figures(path) == {key: task[key] for key in task if key != "more"} | {"controller_weights": "abc"}


def test_without_the_arm_it_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.two_robots.registry.names", lambda kind: ("humanoid",))
    with pytest.raises(ConfigError, match=r"pip install \./examples/own_task"):
        main(TwoRobotsConfig())
