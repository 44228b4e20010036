import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.layout import (
    ARM_POSTURE_SPREAD_RAD,
    BLOCK_X_M,
    BLOCK_Y_M,
    MAX_BLOCKS,
    MIN_BLOCKS,
    MIN_SPACING_M,
    draw_episode,
)
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.robot import HOME

seeds = st.integers(0, 2**31 - 1)


@settings(deadline=None)
@given(seed=seeds)
def test_blocks_are_apart_within_reach_and_of_different_colours(seed: int) -> None:
    blocks = draw_episode(seed).blocks
    assert MIN_BLOCKS <= len(blocks) <= MAX_BLOCKS
    assert len({block.colour for block in blocks}) == len(blocks)
    for block in blocks:
        assert BLOCK_X_M[0] <= block.x_m <= BLOCK_X_M[1]
        assert BLOCK_Y_M[0] <= abs(block.y_m) <= BLOCK_Y_M[1]
    for one, other in itertools.combinations(blocks, 2):
        assert np.hypot(one.x_m - other.x_m, one.y_m - other.y_m) >= MIN_SPACING_M


@settings(deadline=None)
@given(seed=seeds)
def test_phrasing_and_instruction_leave_the_scene_alone(seed: int) -> None:
    train, held_out = draw_episode(seed), draw_episode(seed, phrasing="held-out")
    other = draw_episode(seed, instruction=f"touch the {train.blocks[-1].colour} block")
    assert train.blocks == held_out.blocks
    assert train.instruction != held_out.instruction
    assert set(other.blocks) == set(train.blocks)
    assert other.target == train.blocks[-1].colour
    for episode in (held_out, other):
        assert np.array_equal(episode.posture, train.posture)
        assert np.array_equal(episode.light.direction, train.light.direction)


@settings(deadline=None)
@given(seed=seeds, colour=st.sampled_from(sorted(COLOURS)))
def test_a_colour_that_is_asked_for_is_there(seed: int, colour: str) -> None:
    usual = draw_episode(seed)
    episode = draw_episode(seed, instruction=f"go for {colour}")
    assert episode.target == colour
    assert episode.instruction == f"go for {colour}"
    assert len({block.colour for block in episode.blocks}) == len(usual.blocks)
    if colour not in {block.colour for block in usual.blocks}:
        assert (episode.blocks[0].x_m, episode.blocks[0].y_m) == (usual.blocks[0].x_m, usual.blocks[0].y_m)


def test_an_unknown_colour_is_refused() -> None:
    with pytest.raises(ConfigError, match="name one of: red"):
        draw_episode(0, instruction="touch the mauve block")


def test_seeds_reach_everything() -> None:
    episodes = [draw_episode(seed) for seed in range(300)]
    assert {len(episode.blocks) for episode in episodes} == set(range(MIN_BLOCKS, MAX_BLOCKS + 1))
    assert {episode.target for episode in episodes} == set(COLOURS)
    left = sum(episode.blocks[0].y_m > 0 for episode in episodes)
    assert 110 < left < 190, "both hands get their share"
    assert len({episode.instruction for episode in episodes}) > 200


def test_the_starting_posture_spreads_as_asked() -> None:
    for spread in (0.0, ARM_POSTURE_SPREAD_RAD, 0.3):
        offset = draw_episode(5, posture_spread_rad=spread).posture - HOME
        assert np.abs(offset[:14]).max() == pytest.approx(spread, rel=0.35)
        assert np.all(offset[14:] == 0), "fists stay closed"
