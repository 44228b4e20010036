"""Cameras by name, from the recording to the controller that is run: everyone looks through those that were trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.app import cli
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts
from dualsys.app.eyes import eyes_for
from dualsys.app.run import make_environment
from dualsys.app.run_config import RunConfig
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.messages import Observation
from dualsys.planner.vlm_planner import VLMPlanner
from tests.training.training_parts import OPTIONS

CAMERAS = ("head", "left_wrist")
SIZE = 48
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cameras") / "touch"
    options = ["--episodes", "3", "--out", str(out), "--tail-s", "0", "--cameras", *CAMERAS, "--image-size", str(SIZE)]
    assert cli.main(["demos", "humanoid/touch", *options]) == 0
    return out


@pytest.fixture(scope="module")
def controller(dataset: Path) -> Path:
    """Its planner looks through the second camera."""
    out = dataset.parent / "controller"
    options = ["--data", str(dataset), "--out", str(out), *OPTIONS, "--camera", "left_wrist", "--image-size", str(SIZE)]
    assert cli.main(["train", *options]) == 0
    return out


def test_what_is_recorded_is_what_the_named_cameras_see(dataset: Path) -> None:
    data = DemonstrationDataset.open(dataset)
    assert data.embodiment is not None
    assert [(camera.name, camera.height, camera.width) for camera in data.embodiment.cameras] == [
        (name, SIZE, SIZE) for name in CAMERAS
    ]
    environment: Any = sim_envs.make("humanoid/touch", images="on-demand", cameras=CAMERAS, image_size=SIZE)
    for episode, seed in enumerate(data.seeds.tolist()):
        environment.reset(seed=seed)
        seen = environment.observe().images
        for name in CAMERAS:
            track = data.cameras[name]
            assert track.frames.shape[1:] == (SIZE, SIZE, 3)
            shown = track.frames[track.frame_of_row[data.episode_starts[episode]]].astype(float)
            assert 10 * np.log10(255**2 / np.mean((shown - seen[name]) ** 2)) > 35
            (other,) = set(CAMERAS) - {name}
            assert 10 * np.log10(255**2 / np.mean((shown - seen[other]) ** 2)) < 25
    environment.close()


def test_a_wrist_s_camera_moves_with_it(dataset: Path) -> None:
    """From the first to the last frame most of the picture changes, where the head's hardly does."""
    data = DemonstrationDataset.open(dataset)
    changed = {}
    for name in CAMERAS:
        track = data.cameras[name]
        first, last = (
            track.frames[track.frame_of_row[rows]].astype(float)
            for rows in (data.episode_starts, data.episode_starts + data.episode_lengths - 1)
        )
        changed[name] = max(np.mean(np.abs(last - first) > 20, axis=(1, 2, 3)))
    assert changed["left_wrist"] > 2 * changed["head"]


def test_who_runs_a_controller_gives_it_the_cameras_it_was_trained_with(
    controller: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Checkpoint.open(controller).manifest.embodiment
    assert eyes_for("humanoid/pick", trained) == {"cameras": ("left_wrist",), "image_size": SIZE}
    config = EvalConfig(suite_or_task="humanoid/pick", checkpoint=str(controller))
    environment, policy = make_episode_parts(config, "humanoid/pick")
    assert environment.embodiment == trained == policy.embodiment
    assert environment.observe().images["left_wrist"].shape == (SIZE, SIZE, 3)
    environment.close()
    environment = make_environment(RunConfig(task="humanoid/pick", checkpoint=str(controller)))
    assert environment.embodiment == trained
    environment.close()
    common = ["humanoid/touch", "--checkpoint", str(controller)]
    assert cli.main(["eval", *common, "--episodes", "1", "--json", str(tmp_path / "eval.json")]) == 0
    assert json.loads((tmp_path / "eval.json").read_text())["tasks"][0]["episodes"] == 1
    assert cli.main(["run", *common, "--mode", "inline", "--seconds", "1"]) == 0


def test_a_task_that_has_them_already_or_another_robot_is_given_none(controller: Path) -> None:
    shipped = Checkpoint.open("humanoid-table").manifest.embodiment
    assert eyes_for("humanoid/touch", shipped) == {}
    trained = Checkpoint.open(controller).manifest.embodiment
    assert eyes_for("dm_control/cartpole-balance", trained) == {}
    assert eyes_for("humanoid/touch", trained.model_copy(update={"name": "another"})) == {}
    assert eyes_for("humanoid/touch", trained.model_copy(update={"cameras": ()})) == {}


def test_a_planner_that_is_started_from_keeps_its_camera(
    dataset: Path, controller: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--data", str(dataset), "--out", str(out), "--steps", "2", "--batch-size", "4"]
    assert cli.main(["finetune", *options, "--checkpoint", str(controller), "--parts", "actor"]) == 0
    data = DemonstrationDataset.open(dataset)
    planner = VLMPlanner.from_checkpoint(Checkpoint.open(controller))
    assert planner.config.camera == "left_wrist"
    track = data.cameras["left_wrist"]
    row = len(data) - 1
    seen = Observation(
        stamp_s=0.0,
        state=data.states[row],
        images={"left_wrist": track.frames[track.frame_of_row[row]]},
        instruction=data.instructions[-1],
    )
    kept = np.load(out / "training/subgoals.npy")
    np.testing.assert_allclose(kept[track.frame_of_row[row]], planner.plan(seen).tokens, atol=1e-5)
    capsys.readouterr()
    train = ["train", *options[:2], "--out", str(tmp_path / "other"), *options[4:], "--init", str(controller)]
    assert cli.main([*train, "--camera", "close"]) == 2
    assert "--camera close: controller looks through 'left_wrist'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["demos", "humanoid/touch", "--episodes", "1", "--cameras", "head", "hed"],
            "unknown camera 'hed'. Did you mean",
        ),
        (["demos", "humanoid/touch", "--episodes", "1", "--cameras", "tail"], "close, head, left_wrist, right_wrist"),
        (["train", "--camera", "close"], "the dataset has no camera 'close'; it has ['head', 'left_wrist']"),
    ],
)
def test_an_unknown_camera_is_refused_with_those_there_are(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    data = ["--data", str(dataset)] if arguments[0] == "train" else []
    assert cli.main([*arguments, *data, "--out", str(tmp_path / "out")]) == 2
    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == 1
    assert not (tmp_path / "out/config.json").exists()
