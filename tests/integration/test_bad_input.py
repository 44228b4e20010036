"""What users get wrong, from the outside: each gives one clear error that says what was asked and how to mend it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dualsys
from dualsys import sim_envs
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.cli import main
from dualsys.app.controller import Controller
from dualsys.checkpoint import Checkpoint, find_checkpoint
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, InvalidObservation, SpecMismatch
from dualsys.messages import Observation
from dualsys.planner.scripted import NullPlanner

SHIPPED = "humanoid-table"


@pytest.fixture(scope="module")
def observation() -> Observation:
    environment = sim_envs.make("humanoid/touch", seed=8000)
    seen = environment.observe()
    frozen = replace(seen, images={name: np.array(image) for name, image in seen.images.items()})
    environment.close()
    return frozen


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_checkpoint(SHIPPED), tmp_path / "copy"))


def test_an_unknown_task_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"'humanoid/tuch'.*Did you mean 'humanoid/touch'"):
        sim_envs.make("humanoid/tuch")


def test_a_camera_of_the_wrong_shape_is_named(observation: Observation) -> None:
    wrong = replace(observation, images={"head": np.zeros((64, 96, 3), np.uint8)})
    with (
        dualsys.Controller.from_checkpoint(SHIPPED) as controller,
        pytest.raises(
            InvalidObservation, match=r"camera 'head' gave uint8 \(64, 96, 3\), expected uint8 \(96, 96, 3\)"
        ),
    ):
        controller.step(wrong)


def test_a_state_that_is_not_finite_names_its_joint(observation: Observation) -> None:
    state = observation.state.copy()
    state[3] = np.nan
    with (
        dualsys.Controller.from_checkpoint(SHIPPED) as controller,
        pytest.raises(InvalidObservation, match=r"state is not finite at \['left_elbow_joint'\]"),
    ):
        controller.step(replace(observation, state=state))


def test_a_checkpoint_for_another_robot_names_both() -> None:
    walker = sim_envs.make("dm_control/walker-walk")
    with pytest.raises(CheckpointError, match=r"is for embodiment 'unitree-g1-upper' \(28 joints.*not for 'dm_control"):
        Controller.from_checkpoint(SHIPPED, embodiment=walker.embodiment)
    walker.close()


def test_truncated_weights_say_so(copy: Path) -> None:
    weights = copy / "planner.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"planner\.safetensors is truncated: \d+ bytes, its header says \d+"):
        Controller.from_checkpoint(copy)


def test_a_planner_and_an_actor_that_differ_are_both_named() -> None:
    shipped = Checkpoint.open(SHIPPED)
    actor = FlowActor.build(
        FlowActorConfig(width=16, depth=1, num_heads=2),
        embodiment=shipped.manifest.embodiment,
        subgoal_spec=SubgoalSpec(num_tokens=4, dim=16),
        statistics=FlowActor.from_checkpoint(shipped).statistics,
    )
    with pytest.raises(SpecMismatch, match=r"num_tokens=8.*num_tokens=4"):
        Controller(NullPlanner(shipped.manifest.subgoal), actor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "humanoid/tuch", "--episodes", "1"], "Did you mean 'humanoid/touch'"),
        (["eval", "humanoid/touch", "--checkpoint", "humanoid-tabel"], "Did you mean 'humanoid-table'"),
        (["eval", "humanoid/touch", "--episodes", "1", "--planner", "nul"], "Did you mean 'null'"),
        (
            ["eval", "humanoid/touch", "--episodes", "1", "--planner", "scripted"],
            "planner 'scripted' cannot be built from its name alone: ScriptedPlanner() is missing a required argument",
        ),
        (["run", "humanoid/touch", "--planner", "replay"], "planner 'replay' cannot be built from its name alone"),
        (
            ["eval", "humanoid/touch", "--episodes", "1", "--planner-latency-s", "-1"],
            "--planner-latency-s -1.0 must be",
        ),
        (["eval", "dm_control/walker-walk", "--episodes", "1"], "is for embodiment 'unitree-g1-upper'"),
        (
            ["run", "humanoid/touch", "--mode", "inline", "--instruction", "touch the pink block"],
            "names no known colour",
        ),
    ],
)
def test_the_command_line_says_it_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_checkpoint_of_a_later_format_says_which_is_read(copy: Path) -> None:
    manifest = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this dualsys reads format 1"):
        Controller.from_checkpoint(copy)


@pytest.mark.parametrize("option", ["--json", "--video-dir"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    asked = tmp_path / "file" / "inside"
    assert main(["eval", "humanoid/touch", "--episodes", "100000", option, str(asked)]) == 2
    errors = capsys.readouterr().err
    assert str(tmp_path / "file") in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["demos", "humanoid/touch", "--episodes", "1", "--tail-s", "nan", "--out", "x"],
            "--noise-rad must be from 0 to pi",
        ),
        (
            ["demos", "humanoid/touch", "--episodes", "1", "--noise-rad", "inf", "--out", "x"],
            "--noise-rad must be from 0 to pi",
        ),
        (["correct", "humanoid/touch", "--noise-rad", "nan", "--out", "x"], "--noise-rad must be from 0 to pi"),
        (["correct", "humanoid/touch", "--planner-hz", "0", "--out", "x"], "--planner-hz 0.0 must be above 0"),
        (
            ["demos", "humanoid/touch", "--episodes", "1", "--image-size", "0", "--out", "x"],
            "--image-size 0 must be positive",
        ),
        (["data", "import", "x", "--image-size", "0", "96", "--out", "y"], "--image-size 0 96 must be positive"),
        (["eval", "humanoid/tuch", "--json", "x.json"], "Did you mean 'humanoid/touch'"),
        (["eval", "humanoid/touch", "--checkpoint", "nowhere", "--json", "x.json"], "nowhere"),
        (["run", "dm_control/walker-walk"], "give that: --control-hz 40"),
        (["eval", "humanoid/touch", "--json", "."], "--json . must be a file"),
        (["eval", "humanoid/touch", "--json", "touch.png"], "a picture of the results is written beside it"),
        (["report", SHIPPED], "has no training/"),
        (["train", "--data", "x", "--out", "."], "holds other things than a training"),
    ],
)
def test_it_is_said_before_anything_is_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_of_its_name_does_not_hide_a_shipped_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SHIPPED).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(SHIPPED).is_absolute()


def test_a_curve_with_a_broken_line_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "training").mkdir()
    (copy / "training" / "log.jsonl").write_text('{"step": 25}\n{"step":\n')
    assert main(["report", str(copy)]) == 2
    assert "log.jsonl is damaged" in capsys.readouterr().err
