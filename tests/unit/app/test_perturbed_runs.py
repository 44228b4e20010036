"""`--perturb` of evaluations and recordings: in the episodes, in the results, in the provenance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dualsys.app import cli
from dualsys.app.demos import DemosConfig
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.table import show
from dualsys.app.recording import RecordingSettings, record_episode
from dualsys.app.workplace import make_workplace
from dualsys.errors import ConfigError
from dualsys.sim_envs.perturbations import PRESETS, described


def test_results_say_what_was_perturbed_and_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("friction:severe", "sensor-noise:mild")
    report = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=2, planner="null", perturb=names))
    chosen = (*PRESETS["friction"]["severe"], *PRESETS["sensor-noise"]["mild"])
    assert report["perturbations"] == described(chosen)
    assert report["perturbations"][0] == {"kind": "friction", "change_by": 3.0}
    drawn = [episode["info"]["perturbed.friction.factor"] for episode in report["tasks"][0]["per_episode"]]
    assert len(set(drawn)) == 2
    show(report)
    assert "perturbed: friction:severe sensor-noise:mild" in " ".join(capsys.readouterr().out.split())


def test_none_is_the_evaluation_without() -> None:
    config = EvalConfig(suite_or_task="humanoid/touch", episodes=1, planner="null")
    without, none = evaluate(config), evaluate(replace(config, perturb=("none",)))
    assert without["tasks"] == none["tasks"]
    assert without["perturbations"] == none["perturbations"] == []


def test_several_are_asked_for_in_one_line(tmp_path: Path) -> None:
    options = cli.parse_options("eval", ["humanoid", "--perturb", "lighting:severe", "pushes:mild", "--episodes", "3"])
    assert options.perturb == ("lighting:severe", "pushes:mild")
    with pytest.raises(ConfigError, match=r"unknown perturbation 'light'\. Did you mean 'lighting'"):
        EvalConfig(suite_or_task="humanoid", perturb=("light",))
    with pytest.raises(ConfigError, match=r"unknown level 'sever'\. Did you mean 'severe'"):
        DemosConfig(task="humanoid/touch", episodes=1, out=tmp_path, perturb=("camera:sever",))


def test_a_recording_has_what_was_perturbed_and_its_expert_the_truth(tmp_path: Path) -> None:
    def recorded(*perturb: str) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
        config = DemosConfig(task="humanoid/touch", episodes=1, out=tmp_path, noise_rad=0.0, perturb=perturb)
        environment, expert = make_workplace(config.workplace)
        episode = record_episode(environment, expert, 3, RecordingSettings(rows_per_frame=25))
        environment.close()
        assert episode is not None
        return episode.states, episode.actions, episode.instruction

    states, actions, words = recorded()
    noisy, same, other_words = recorded("sensor-noise:severe", "paraphrase:mild")
    assert np.array_equal(actions, same)
    assert 0.005 < np.std(noisy - states) < 0.02
    assert other_words.endswith(words) or words in other_words


def test_the_provenance_tells_perturbations_and_nothing_where_there_are_none(tmp_path: Path) -> None:
    def settings(*perturb: str) -> dict[str, object]:
        return DemosConfig(task="humanoid/touch", episodes=1, out=tmp_path, perturb=perturb).settings(50)

    mild = settings("mass:mild")
    assert mild["perturb"] == ["mass:mild"]
    assert mild["perturbations"] == [{"kind": "mass", "change_by": 0.25}]
    assert not {"perturb", "perturbations"} & settings().keys()
