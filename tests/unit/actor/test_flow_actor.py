"""The flow actor: seeds, ages, null subgoals, what it refuses, and the round trip through a checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import MIN_DEVIATION, ControllerStatistics, Statistics
from dualsys.actor.scripted import HoldActor
from dualsys.checkpoint import Checkpoint, write_manifest
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, SubgoalSpec
from dualsys.errors import CheckpointError, SpecMismatch
from dualsys.messages import LatentSubgoal, Observation
from tests.unit.actor.saved import saved

SPEC = SubgoalSpec(num_tokens=4, dim=8)
ARM = EmbodimentSpec(
    name="two-joints",
    joints=(Joint(name="a", lower=-1, upper=1), Joint(name="b", lower=-2, upper=2)),
    state_names=("a", "b"),
)
STATISTICS = ControllerStatistics(
    state=Statistics(mean=(0, 0), std=(1, 2)), action=Statistics(mean=(0.1, 0.2), std=(1, 2))
)


def make_actor(config: FlowActorConfig | None = None) -> FlowActor:
    torch.manual_seed(0)
    config = config or FlowActorConfig(horizon=6, width=16, depth=4, num_heads=2, smoothing_window=3)
    actor = FlowActor.build(config, embodiment=ARM, subgoal_spec=SPEC, statistics=STATISTICS)
    for parameter in actor.expert.parameters():  # the zero-initialised output would hide every dependence
        torch.nn.init.normal_(parameter, std=0.2)
    return actor


def subgoal(seed: int = 0, stamp_s: float = 0.0, mask: np.ndarray | None = None) -> LatentSubgoal:
    tokens = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32)
    return LatentSubgoal(tokens=tokens, observation_stamp_s=stamp_s, sequence=7, epoch=2, mask=mask)


OBSERVATION = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))


def rows(actor: FlowActor, goal: LatentSubgoal | None, observation: Observation = OBSERVATION) -> np.ndarray:
    actor.reset(seed=3)
    return actor.act(observation, goal).rows


def test_the_same_seed_gives_the_same_bits_and_another_another() -> None:
    actor = make_actor()
    first = rows(actor, subgoal())
    assert np.array_equal(first, rows(actor, subgoal()))
    actor.reset(seed=4)
    assert not np.allclose(first, actor.act(OBSERVATION, subgoal()).rows)


def test_noise_is_held_for_an_episode_or_drawn_afresh() -> None:
    base = FlowActorConfig(horizon=6, width=16, depth=4, num_heads=2, smoothing_window=3)
    for noise in ("held", "fresh"):
        actor = make_actor(base.model_copy(update={"noise": noise}))
        actor.reset(seed=3)
        first, second = (actor.act(OBSERVATION, subgoal()).rows for _ in range(2))
        assert np.array_equal(first, second) is (noise == "held")


def test_chunk_names_its_origin() -> None:
    chunk = make_actor().act(OBSERVATION, subgoal(stamp_s=0.4))
    assert chunk.rows.shape == (6, 2)
    assert chunk.rows.dtype == np.float64
    assert (chunk.start_stamp_s, chunk.dt_s) == (1.0, 0.02)
    assert (chunk.subgoal_sequence, chunk.subgoal_epoch) == (7, 2)
    assert chunk.subgoal_age_s == pytest.approx(0.6)


@pytest.mark.parametrize("other", [subgoal(seed=1), subgoal(stamp_s=0.5), None], ids=["tokens", "age", "null"])
def test_motion_depends_on_the_subgoal_and_its_age(other: LatentSubgoal | None) -> None:
    actor = make_actor()
    assert not np.allclose(rows(actor, subgoal()), rows(actor, other), atol=1e-5)


def test_a_fully_masked_subgoal_is_the_null_subgoal() -> None:
    actor = make_actor()
    masked = subgoal(seed=5, mask=np.zeros(4, dtype=bool))
    assert np.array_equal(rows(actor, None), rows(actor, masked))
    assert actor.act(OBSERVATION, masked).subgoal_sequence == -1


def test_masked_tokens_are_not_read() -> None:
    actor = make_actor()
    mask = np.array([True, True, False, False])
    noisy = subgoal(mask=mask)
    noisy = replace(noisy, tokens=np.where(mask[:, None], noisy.tokens, 1e3).astype(np.float32))
    np.testing.assert_allclose(rows(actor, subgoal(mask=mask)), rows(actor, noisy), atol=1e-6)


def test_a_subgoal_of_another_shape_is_refused() -> None:
    wrong = LatentSubgoal(tokens=np.zeros((3, 8), np.float32), observation_stamp_s=0.0, producer="someone")
    with pytest.raises(SpecMismatch, match=r"'someone' has shape \(3, 8\)"):
        make_actor().act(OBSERVATION, wrong)


def test_statistics_of_another_robot_are_refused() -> None:
    three = Statistics(mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(SpecMismatch, match="3 states"):
        FlowActor.build(
            FlowActorConfig(),
            embodiment=ARM,
            subgoal_spec=SPEC,
            statistics=ControllerStatistics(state=three, action=STATISTICS.action),
        )


def test_fast_vision_sees() -> None:
    camera = CameraSpec(name="head", height=20, width=24)
    vision = FastVisionConfig(camera=camera, channels=(4, 8))
    actor = make_actor(FlowActorConfig(horizon=6, width=16, depth=2, num_heads=2, smoothing_window=3, vision=vision))
    black = Observation(stamp_s=1.0, state=OBSERVATION.state, images={"head": np.zeros((20, 24, 3), np.uint8)})
    white = Observation(stamp_s=1.0, state=OBSERVATION.state, images={"head": np.full((20, 24, 3), 255, np.uint8)})
    assert not np.allclose(rows(actor, subgoal(), black), rows(actor, subgoal(), white), atol=1e-5)


def test_a_checkpoint_brings_back_the_same_bits(tmp_path: Path) -> None:
    actor = make_actor()
    again = FlowActor.from_checkpoint(saved(actor, tmp_path / "c"))
    assert np.array_equal(rows(actor, subgoal()), rows(again, subgoal()))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    checkpoint = saved(make_actor(), tmp_path / "c")
    config = {**checkpoint.manifest.actor.config, "width": 32}
    entry = checkpoint.manifest.actor.model_copy(update={"config": config})
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update={"actor": entry}))
    with pytest.raises(CheckpointError, match="don't fit"):
        FlowActor.from_checkpoint(Checkpoint.open(checkpoint.folder))


def test_statistics_round_trip_and_survive_a_still_dimension() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, (500, 3))
    values[:, 2] = 0.7
    statistics = Statistics.of(values)
    assert statistics.std[2] == MIN_DEVIATION
    np.testing.assert_allclose(statistics.denormalize(statistics.normalize(values)), values, atol=1e-12)
    np.testing.assert_allclose(statistics.normalize(values)[:, :2].std(axis=0), 1.0, atol=1e-9)


def test_hold_actor_holds() -> None:
    chunk = HoldActor(ARM, SPEC, horizon=5).act(OBSERVATION, None)
    assert np.array_equal(chunk.rows, np.tile(OBSERVATION.state, (5, 1)))
