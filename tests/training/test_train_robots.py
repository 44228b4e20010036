"""Demonstrations of two robots train one actor, which then drives both."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dualsys import sim_envs
from dualsys.actor.config import FlowActorConfig
from dualsys.app.controller import Controller
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.eyes import eyes_for
from dualsys.app.recording import BLOCK_POSITIONS, HAND_TARGETS
from dualsys.app.train import build_learner, main
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.centres import Centres
from dualsys.app.training.robot_datasets import open_data
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.errors import CheckpointError, ConfigError

SOURCE = Path(__file__).resolve().parents[2] / "examples/own_task/own_task.py"
TASKS = ("humanoid/touch", "arm/reach")
SIDE = 24


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example's suite, as pip would have it."""
    folder = tmp_path_factory.mktemp("arm")
    info = folder / "own_task-0.1.dist-info"
    info.mkdir()
    shutil.copy(SOURCE, folder)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-task\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        "[dualsys.environments]\narm = own_task:SUITE\n[dualsys.experts]\narm = own_task:ReachExpert\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


@pytest.fixture(scope="module")
def data(arm: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    del arm
    root = tmp_path_factory.mktemp("data")
    folders = tuple(root / task.split("/")[1] for task in TASKS)
    for task, out in zip(TASKS, folders, strict=True):
        record_demonstrations(DemosConfig(task=task, episodes=3, image_size=SIDE, tail_s=0.0, out=out))
    return folders


@pytest.fixture(scope="module")
def trained(data: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "both"
    main(
        TrainConfig(
            data=data,
            out=out,
            image_size=SIDE,
            steps=2,
            batch_size=4,
            validate_every=2,
            warmup_steps=0,
            learning_rate=3e-3,
        )
    )
    return out


def sampler_of(data: DemonstrationDataset, episodes: list[int]) -> BatchSampler:
    return BatchSampler(
        data=TrainingData.of(data, "head"),
        episodes=np.array(episodes),
        horizon=FlowActorConfig().horizon,
        frames_per_batch=8,
        moments_per_frame=2,
        delays_rows=even_delays(0.1, 0.02),
        seed=0,
        shares=np.ones(2),
    )


def test_the_loss_of_both_robots_falls_in_ten_steps(data: tuple[Path, ...], tmp_path: Path) -> None:
    config = TrainConfig(data=data, out=tmp_path / "out", image_size=SIDE)
    both = open_data(config)
    learner = build_learner(config, both, np.arange(6), lambda _: None)
    optimizer = torch.optim.Adam(learner.parameters(), lr=2e-3)

    def flow(episodes: list[int]) -> float:
        with torch.no_grad():
            batch = sampler_of(both, episodes).draw(1000)
            return float(learner.losses(batch, torch.Generator().manual_seed(7), augment=False).flow)

    before = flow([0, 1, 2]), flow([3, 4, 5])
    mixed = sampler_of(both, [0, 1, 2, 3, 4, 5])
    for step in range(10):
        losses = learner.losses(mixed.draw(step), torch.Generator().manual_seed(step), augment=False)
        optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    touch, reach = flow([0, 1, 2]), flow([3, 4, 5])
    assert touch < 0.9 * before[0]
    assert reach < 0.9 * before[1]


def test_each_robot_s_places_are_counted_from_its_own_middle(data: tuple[Path, ...]) -> None:
    """The mean of two tables is on neither: the helpers' loss began at hundreds of square decimetres."""
    both, touch, reach = (open_data(TrainConfig(data=folders, out=Path())) for folders in (data, data[:1], data[1:]))
    alone, arm, together = Centres.of(touch), Centres.of(reach), Centres.of(both)
    middle = np.nanmean(touch.extras[BLOCK_POSITIONS].reshape(-1, 3), axis=0)
    np.testing.assert_allclose(alone.kinds_O3, np.tile(middle, (len(alone.kinds_O3), 1)), rtol=1e-5)
    np.testing.assert_array_equal(together.kinds_O3[: len(alone.kinds_O3)], alone.kinds_O3)
    hands = len(alone.targets_T3)
    counted = touch.extras[HAND_TARGETS].reshape(-1, hands, 3) - alone.targets_T3
    targets = both.extras[HAND_TARGETS].reshape(len(both), -1, 3)[: len(touch), :hands]
    np.testing.assert_array_equal(targets - together.targets_T3[:hands], counted)
    np.testing.assert_array_equal(together.targets_T3[hands:], arm.targets_T3)
    assert not np.allclose(arm.targets_T3[0], alone.targets_T3[0], atol=0.3), "their tables are elsewhere"


def test_the_curve_has_a_figure_for_each_robot_s_data(trained: Path) -> None:
    last = json.loads((trained / "training/log.jsonl").read_text().splitlines()[-1])
    assert {"validation_flow_touch", "validation_flow_reach"} <= last.keys()


@pytest.mark.parametrize("task", TASKS)
def test_one_checkpoint_drives_both(trained: Path, task: str) -> None:
    checkpoint = Checkpoint.open(trained)
    environment = sim_envs.make(task, seed=8000, images="on-demand", **eyes_for(task, *checkpoint.robots))
    with Controller.from_checkpoint(trained, embodiment=environment.embodiment) as controller:
        for _ in range(15):
            sent = controller.step(environment.observe())
            environment.step(sent.target)
    assert sent.source == "actor"
    assert sent.subgoal_sequence >= 0
    assert sent.target.shape == (environment.embodiment.num_actions,)
    environment.close()


def test_a_third_robot_is_refused_and_the_known_are_named(trained: Path) -> None:
    environment = sim_envs.make("dm_control/cartpole-balance", seed=8000, images="on-demand")
    with pytest.raises(CheckpointError, match=r"none of them: '.*g1.*' .*'planar-arm' \(2 joints, cameras: top 24x24"):
        Controller.from_checkpoint(trained, embodiment=environment.embodiment)
    environment.close()


def test_rows_are_padded_and_everything_stays_with_its_robot(data: tuple[Path, ...], tmp_path: Path) -> None:
    both = open_data(TrainConfig(data=data, out=tmp_path / "out"))
    touch, reach = (DemonstrationDataset.open(folder) for folder in data)
    count = len(touch)
    np.testing.assert_array_equal(both.states[:count], touch.states)
    np.testing.assert_array_equal(both.actions[count:, :2], reach.actions)
    assert both.actions.shape[1] == touch.actions.shape[1]
    assert not both.actions[count:, 2:].any()
    assert [robot.name for robot in both.robots] == [touch.embodiment.name, "planar-arm"]  # type: ignore[union-attr]
    assert both.robot_of_episode is not None
    np.testing.assert_array_equal(both.robot_of_episode, [0, 0, 0, 1, 1, 1])
    seen, own = both.cameras["head"], reach.cameras["top"]
    np.testing.assert_array_equal(seen.frames[seen.frame_of_row[count + 7]], own.frames[own.frame_of_row[7]])
    batch = sampler_of(both, [0, 1, 2, 3, 4, 5]).draw(0)
    assert batch.robots is not None
    assert set(batch.robots.tolist()) == {0, 1}
    is_arm = batch.robots == 1
    assert not batch.actions[is_arm][..., 2:].any()
    assert all(("ball" in text) == mine for text, mine in zip(batch.instructions, is_arm, strict=True))
    # Each robot's targets are in columns of its own, and nobody knows of the other's.
    targets = touch.extras["privileged.hand_targets"].shape[1] // 3
    assert np.isnan(batch.target_positions[is_arm][:, :targets]).all()
    assert np.isfinite(batch.target_positions[is_arm][:, targets:]).all()
    assert np.isnan(batch.target_positions[~is_arm][:, targets:]).all()


def test_what_goes_on_with_one_robot_s_actor_is_refused(data: tuple[Path, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="several robots, whose actor is a new one"):
        main(TrainConfig(data=data, out=tmp_path / "out", init="humanoid-table"))


def test_robots_whose_pictures_differ_are_refused(data: tuple[Path, ...], tmp_path: Path) -> None:
    other = tmp_path / "other"
    record_demonstrations(DemosConfig(task="arm/reach", episodes=1, image_size=32, tail_s=0.0, out=other))
    with pytest.raises(ConfigError, match=r"24x24, of .*other 32x32: record them in one size"):
        open_data(TrainConfig(data=(data[0], other), out=tmp_path / "out"))
