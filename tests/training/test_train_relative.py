"""Actions learned relative to the state: which, by what statistics, and that what is sent are positions."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.train import main
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.relative_actions import relative_to, statistics_of
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import ConfigError
from tests.training.training_parts import chunk_of, first_sight, record_touch

HORIZON = 8
ROBOT = EmbodimentSpec(
    name="arm",
    joints=(
        Joint(name="Left_Gripper", lower=0, upper=1, unit="1"),
        Joint(name="elbow", lower=-1, upper=1),
        Joint(name="wheel", lower=-1, upper=1, unit="rad/s"),
        Joint(name="lamp", lower=0, upper=1, unit="1"),
    ),
    state_names=("wheel", "elbow", "Left_Gripper"),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


def options(dataset: Path, out: Path, **more: Any) -> TrainConfig:
    shape = FlowActorConfig(horizon=HORIZON, width=32, depth=2, num_heads=2)
    values: dict[str, Any] = {"steps": 10, "validate_every": 5, "batch_size": 2, "image_size": 24, "actor": shape}
    return TrainConfig(data=(dataset,), out=out, **({"use_relative_actions": True} | values | more))


def test_positions_that_are_sensed_are_relative_but_for_what_is_excluded() -> None:
    assert relative_to(ROBOT, ("gripper",)) == (None, 1, None, None)
    assert relative_to(ROBOT, ()) == (2, 1, None, None)
    with pytest.raises(ConfigError, match=r"no action of 'arm' is a position .* states wheel, elbow, Left_Gripper"):
        relative_to(ROBOT, ("gripper", "ELBOW"))
    poses = ROBOT.model_copy(update={"action_representation": "end-effector"})
    with pytest.raises(ConfigError, match="actions of 'arm' are end-effector"):
        relative_to(poses, ())


@pytest.mark.parametrize("kind", ["mean-std", "min-max", "quantiles"])
def test_statistics_are_of_every_row_of_every_chunk(dataset: Path, tmp_path: Path, kind: Any) -> None:
    """Beside the same by hand, chunk by chunk, cut off at the episodes' ends."""
    data = DemonstrationDataset.open(dataset)
    robot = data.embodiment
    assert robot is not None
    spans = [(start, start + length) for start, length in zip(data.episode_starts, data.episode_lengths, strict=True)]
    rows = np.concatenate([np.arange(*span) for span in spans[1:3]])
    joint = 3
    config = options(dataset, tmp_path, normalization=kind, relative_exclude_joints=(robot.joints[joint].name,))
    found = statistics_of(data, rows, robot, config)
    assert found.relative_to[joint] is None
    first = robot.state_names.index(robot.joints[0].name)
    assert found.relative_to[0] == first
    moved, plain = [], data.actions[rows, joint].astype(np.float64)
    for start, end in spans[1:3]:
        for begin in range(start, end):
            chunk = data.actions[begin : min(begin + HORIZON, end), 0].astype(np.float64)
            moved.append(chunk - data.states[begin, first])
    for dimension, values in ((0, np.concatenate(moved)), (joint, plain)):
        np.testing.assert_allclose(found.action.mean[dimension], values.mean(), atol=1e-9)
        ends = {"min-max": (0, 1), "quantiles": (0.01, 0.99)}.get(kind)
        if ends and np.ptp(values) > 0.1:
            kept = (found.action.low[dimension], found.action.high[dimension])
            np.testing.assert_allclose(kept, np.quantile(values, ends), atol=1e-9)


def test_a_narrow_robot_s_are_of_its_own_columns() -> None:
    """Data of several robots are padded behind; what stands there, and other episodes, count for nothing."""
    narrow = ROBOT.model_copy(update={"joints": ROBOT.joints[1:2], "state_names": ("elbow",)})
    states, actions = np.full((9, 3), np.nan), np.full((9, 4), np.nan)
    states[:5, 0], actions[:5, 0] = np.arange(5), np.arange(5) + 2.0
    data: Any = SimpleNamespace(
        states=states, actions=actions, episode_starts=np.array([0, 5]), episode_lengths=np.array([5, 4])
    )
    found = statistics_of(data, np.arange(5), narrow, options(Path(), Path(), normalization="min-max"))
    assert found.relative_to == (0,)
    np.testing.assert_allclose((found.action.low[0], found.action.high[0]), (2.0, 6.0))
    np.testing.assert_allclose(found.action.mean, 2 + np.mean([0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2, 0, 1, 0]))


@pytest.mark.slow
def test_ten_steps_train_and_what_is_sent_are_positions(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(options(dataset, tmp_path / "c"))
    assert "28 of 28 actions of unitree-g1-upper are relative" in capsys.readouterr().out
    last = json.loads((tmp_path / "c/training/log.jsonl").read_text().splitlines()[-1])
    assert all(math.isfinite(value) for value in last.values() if isinstance(value, float))
    checkpoint = Checkpoint.open(tmp_path / "c")
    actor, robot = FlowActor.from_checkpoint(checkpoint), checkpoint.manifest.embodiment
    assert actor.statistics.is_relative
    sight = first_sight("humanoid/touch")
    deviation = np.array(actor.statistics.action.std)
    away = chunk_of(tmp_path / "c", sight).rows - robot.position_in(sight.state) - actor.statistics.action.mean
    assert (np.abs(away) < 6 * deviation).all()  # ten steps teach no more than the noise that chunks begin as
    assert np.abs(robot.position_in(sight.state)).max() > 0.5  # where positions and differences are told apart
    assert deviation.max() < 0.1
    main(TrainConfig(data=(dataset,), out=tmp_path / "more", init=str(tmp_path / "c"), train="actor", steps=2))
    assert FlowActor.from_checkpoint(Checkpoint.open(tmp_path / "more")).statistics == actor.statistics


@pytest.mark.slow
def test_words_are_fitted_to_what_is_learned(dataset: Path, tmp_path: Path) -> None:
    main(options(dataset, tmp_path, head="bins", steps=2))
    actor = FlowActor.from_checkpoint(Checkpoint.open(tmp_path))
    low, high = np.array(actor.config.low), np.array(actor.config.high)
    assert (low < 0.1).all()
    assert (high > -0.1).all()
    assert (high - low).max() < 12  # deviations; positions in differences' would be hundreds away


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"relative_exclude_joints": ("hand",), "use_relative_actions": False}, "give --use-relative-actions, too"),
        ({"init": "humanoid-table"}, "--use-relative-actions builds a new model"),
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options(Path("data"), Path("out"), **({"actor": FlowActorConfig(), "image_size": 96} | wrong))
