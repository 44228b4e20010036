"""Batches, averages and helper heads against what they must be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import sample_time
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.app import train
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.centres import Centres
from dualsys.app.training.helpers import PicturePositions, presence_error, squared_error
from dualsys.app.training.learner import Learner, LossWeights
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays, measured_delays
from dualsys.data.reader import FrameTrack
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import ConfigError, DatasetError
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from tests.unit.app.tiny_backbone import ARCHITECTURE

LENGTHS = np.array([30, 50])


def make_data() -> TrainingData:
    """Two episodes in which every number tells its row: state = row, action = row + 0.5; a frame each 5 rows."""
    rows = np.arange(80)
    in_episode = np.concatenate([np.arange(30), np.arange(50)])
    frame_of_row = np.concatenate([np.arange(30) // 5, 6 + np.arange(50) // 5])
    frames: Any = np.zeros((16, 2, 2, 3), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None]
    return TrainingData(
        states=rows[:, None].astype(np.float32),
        actions=rows[:, None].astype(np.float32) + 0.5,
        frames=frames,
        frame_of_row=frame_of_row,
        frame_stamps_s=(in_episode // 5 * 5 * 0.02).astype(np.float32),
        episode_starts=np.array([0, 30]),
        episode_lengths=LENGTHS,
        instructions=("first", "second"),
        folder_of_episode=np.array([0, 1]),
        target_positions=np.repeat(rows[:, None, None], 3, axis=2).astype(np.float32),
        object_positions=np.zeros((80, 0, 3), np.float32),
        dt_s=0.02,
    )


def make_sampler(seed: int = 0) -> BatchSampler:
    return BatchSampler(
        data=make_data(), episodes=np.array([0, 1]), horizon=8, frames_per_batch=64, moments_per_frame=3,
        delays_rows=even_delays(0.2, 0.02), seed=seed, shares=np.zeros(2),
    )  # fmt: skip


def test_a_step_s_batch_depends_on_seed_and_step_alone() -> None:
    assert np.array_equal(make_sampler().draw(7).states, make_sampler().draw(7).states)
    assert not np.array_equal(make_sampler().draw(7).states, make_sampler().draw(8).states)
    assert not np.array_equal(make_sampler().draw(7).states, make_sampler(1).draw(7).states)


def test_chunks_start_at_their_state_and_end_with_their_episode() -> None:
    batch = make_sampler().draw(0)
    moment = batch.states[..., 0]
    end = np.where(moment < 30, 29, 79)
    wanted = moment[..., None] + np.arange(8)
    assert np.array_equal(batch.is_real, wanted <= end[..., None])
    assert np.array_equal(batch.actions[..., 0], np.minimum(wanted, end[..., None]) + 0.5)


def test_the_planner_s_view_is_older_by_the_drawn_delay_and_from_the_same_episode() -> None:
    batch = make_sampler().draw(1)
    moment = batch.states[..., 0]
    view = batch.target_positions[:, 0, 0]
    delay = moment - view[:, None]
    assert delay.min() >= 0
    assert delay.max() <= 10
    assert len(np.unique(delay)) > 5
    assert np.array_equal(view < 30, np.array([text == "first" for text in batch.instructions]))
    frame_row = np.where(view < 30, view // 5 * 5, 30 + (view - 30) // 5 * 5)
    np.testing.assert_allclose(batch.ages_s, (moment - frame_row[:, None]) * 0.02, atol=1e-5)
    shown = np.where(view < 30, view // 5, 6 + (view - 30) // 5)
    assert np.array_equal(batch.images[:, 0, 0, 0], shown)


@pytest.mark.parametrize(("shares", "wanted"), [((0.0, 0.0), 30 / 80), ((1.0, 1.0), 0.5), ((3.0, 1.0), 0.75)])
def test_each_dataset_has_its_share_of_the_frames(shares: tuple[float, float], wanted: float) -> None:
    sampler = replace(make_sampler(), shares=np.array(shares), frames_per_batch=4000)
    first = np.mean([text == "first" for text in sampler.draw(0).instructions])
    assert abs(first - wanted) < 0.04  # five standard deviations of 4000 draws


def test_a_subset_without_a_dataset_s_episodes_draws_from_the_others() -> None:
    sampler = replace(make_sampler(), shares=np.ones(2), episodes=np.array([1]))
    assert set(sampler.draw(0).instructions) == {"second"}


def test_frames_know_their_episode() -> None:
    assert make_data().episode_of_frame().tolist() == [0] * 6 + [1] * 10


def test_presence_is_learned_where_anyone_knows_of_a_target() -> None:
    """Certain and right costs nothing, certain and wrong its logit; a row in which nobody knows costs nothing."""
    nobody, somewhere = [float("nan")] * 3, [0.1, 0.2, 0.3]
    true = torch.tensor([[somewhere, nobody], [nobody, nobody]])
    right, wrong = torch.tensor([[30.0, -30.0], [30.0, 30.0]]), torch.tensor([[-30.0, 30.0], [30.0, 30.0]])
    assert presence_error(right, true).item() == pytest.approx(0.0, abs=1e-6)
    assert presence_error(wrong, true).item() == pytest.approx(30.0)


def test_a_checkpoint_is_not_trained_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="give another --out"):
        train.main(TrainConfig(data=(tmp_path,), out=tmp_path))
    assert (tmp_path / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    "option", [{"image_size": 48}, {"subgoal_tokens": 4}, {"actor": FlowActorConfig(width=64)}, {"backbone": "other"}]
)
def test_what_builds_a_new_model_is_refused_beside_one_that_goes_on(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        TrainConfig(data=(Path("d"),), out=Path("o"), init="humanoid-table", **option)


def test_the_average_of_constant_weights_is_that_constant_and_swaps_back() -> None:
    module = nn.Linear(3, 2)
    average = WeightAverage(module, 0.9)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1.0)
    for step in range(400):
        average.update(module, step)
    torch.testing.assert_close(average.shadow["weight"], before + 1.0)
    with torch.no_grad():
        module.weight.zero_()
    average.swap(module)
    torch.testing.assert_close(module.weight.detach(), before + 1.0)
    average.swap(module)
    assert torch.equal(module.weight, torch.zeros_like(module.weight))


def test_unknown_places_count_for_nothing() -> None:
    true = torch.tensor([[1.0, 2.0], [float("nan"), float("nan")]])
    seen = torch.tensor([[0.0, 0.0], [100.0, 100.0]], requires_grad=True)
    loss = squared_error(seen, true)
    assert loss.item() == pytest.approx(2.5)
    torch.autograd.backward(loss)
    assert seen.grad is not None
    assert torch.equal(seen.grad[1], torch.zeros(2))


def test_a_picture_s_place_follows_the_token_it_looks_at() -> None:
    """Looking at one cell alone gives that cell's place: the map of its column and row."""
    heads = PicturePositions(hidden_width=4, num_image_tokens=9, num_places=2)
    with torch.no_grad():
        heads.queries.weight.zero_()
        heads.queries.weight[:, 0] = 100.0
        heads.queries.bias.zero_()
    hidden = torch.zeros(9, 9, 4)
    for cell in range(9):
        hidden[cell, :, 1] = 1.0
        hidden[cell, cell, 0] = 5.0
    places = heads(hidden)[:, 0]
    column, row = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(places[:, 0].detach(), -2.0 * row.ravel(), atol=1e-3)
    np.testing.assert_allclose(places[:, 1].detach(), -4.0 * column.ravel(), atol=1e-3)


def test_measured_delays_are_the_ages_in_a_run_s_log(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    ages: list[float | None] = [0.1, 0.12, None, 0.31]
    log.write_text("".join(json.dumps({"kind": "chunk", "subgoal_age_s": age}) + "\n" for age in ages))
    assert measured_delays(log, 0.02).tolist() == [5, 6, 16]
    log.write_text(json.dumps({"kind": "command"}) + "\n")
    with pytest.raises(DatasetError, match="no chunk made with a subgoal"):
        measured_delays(log, 0.02)


def test_an_actor_with_an_eye_of_its_own_is_trained_on_what_it_sees_at_its_moments() -> None:
    data = replace(make_data(), actor_track=None)
    track = FrameTrack(frames=data.frames, frame_of_row=data.frame_of_row, stamp_of_row_s=data.frame_stamps_s)
    sampler = replace(make_sampler(), data=replace(data, actor_track=track))
    batch = sampler.draw(0)
    assert batch.actor_images is not None
    moment = batch.states[..., 0].astype(int)
    assert np.array_equal(batch.actor_images[..., 0, 0, 0], data.frame_of_row[moment])
    assert make_sampler().draw(0).actor_images is None


def test_a_learner_moves_every_part_of_both_systems() -> None:
    """One step's gradient reaches the backbone through the flow loss alone, and the actor's eye where it has one."""
    camera = CameraSpec(name="head", height=16, width=16)
    robot = EmbodimentSpec(
        name="r", joints=(Joint(name="a", lower=-1, upper=1),), state_names=("a",), cameras=(camera,)
    )
    config = VLMPlannerConfig(
        backbone="paligemma", architecture=ARCHITECTURE, readout=ReadoutConfig(num_tokens=2, dim=4, width=16)
    )
    planner = VLMPlanner.build(config, train_tokenizer(["first", "second"]))
    one = Statistics(mean=(0.0,), std=(1.0,))
    vision = FastVisionConfig(camera=camera, channels=(4,))
    actor = FlowActor.build(
        FlowActorConfig(horizon=8, width=16, depth=2, num_heads=2, smoothing_window=3, vision=vision),
        embodiment=robot, subgoal_spec=planner.subgoal_spec, statistics=ControllerStatistics(state=one, action=one),
    )  # fmt: skip
    for parameter in actor.expert.parameters():  # layers that start at zero pass no gradient on in the first step
        torch.nn.init.normal_(parameter, std=0.2)
    weights = LossWeights(position=0.0, subgoal_dropout=0.0, image_noise=0.0)
    learner = Learner(planner, actor, weights, Centres(targets_T3=np.zeros((1, 3)), kinds_O3=np.zeros((0, 3))))
    batch = replace(
        make_sampler().draw(0),
        images=np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8),
        actor_images=np.random.default_rng(1).integers(0, 256, (64, 3, 16, 16, 3), dtype=np.uint8),
    )
    losses = learner.losses(batch, torch.Generator().manual_seed(0), augment=True)
    torch.autograd.backward(losses.total)
    still = [
        name for name, value in learner.named_parameters() if value.grad is None or not bool(value.grad.abs().sum() > 0)
    ]
    helpers = ("subgoal_targets", "picture_positions")
    unread = ("null_subgoal", "lm_head")
    assert not [name for name in still if not any(part in name for part in (*helpers, *unread))]


def test_rows_that_are_given_are_no_part_of_the_loss() -> None:
    """A fresh expert has no velocity, so its loss is the mean square of data less noise over the rows it samples."""
    learner = _prefix_learner(max_prefix=7)
    batch = replace(make_sampler().draw(0), subgoals=np.zeros((64, 2, 4), dtype=np.float32))
    found = learner.losses(batch, torch.Generator().manual_seed(0), augment=False).flow
    draws = torch.Generator().manual_seed(0)
    torch.rand(192, generator=draws)  # which subgoals are dropped
    noise_NAU = torch.randn((192, 8, 1), generator=draws)
    sample_time(192, generator=draws)
    rows_N = torch.randint(0, 8, (192,), generator=draws)
    assert set(rows_N.tolist()) == set(range(8))
    sampled_NA = torch.from_numpy(batch.is_real.reshape(192, 8)) & (torch.arange(8) >= rows_N[:, None])
    error_NA = (torch.from_numpy(batch.actions.reshape(192, 8, 1)) - noise_NAU)[..., 0].square()
    torch.testing.assert_close(found, error_NA[sampled_NA].mean())


def _prefix_learner(max_prefix: int) -> Learner:
    robot = EmbodimentSpec(name="r", joints=(Joint(name="a", lower=-1, upper=1),), state_names=("a",))
    config = VLMPlannerConfig(
        backbone="paligemma", architecture=ARCHITECTURE, readout=ReadoutConfig(num_tokens=2, dim=4, width=16)
    )
    planner = VLMPlanner.build(config, train_tokenizer(["first", "second"]))
    one = Statistics(mean=(0.0,), std=(1.0,))
    actor = FlowActor.build(
        FlowActorConfig(horizon=8, width=16, depth=2, num_heads=2, smoothing_window=3, max_prefix=max_prefix),
        embodiment=robot, subgoal_spec=planner.subgoal_spec, statistics=ControllerStatistics(state=one, action=one),
    )  # fmt: skip
    weights = LossWeights(position=0.0, subgoal_dropout=0.0, image_noise=0.0)
    return Learner(planner, actor, weights, Centres(targets_T3=np.zeros((1, 3)), kinds_O3=np.zeros((0, 3))))
