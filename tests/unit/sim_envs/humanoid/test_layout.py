import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.goals import TASKS, TaskName
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
from dualsys.sim_envs.humanoid.robot import HOME, OPEN_HOME

seeds = st.integers(0, 2**31 - 1)

DRAWN_AT_FIRST = {
    0: (
        "with your hand pat the yellow box",
        "i want you to tap the yellow piece",
        [("yellow", 0.272058, -0.150994), ("blue", 0.382186, -0.056495), ("cyan", 0.344026, 0.180152)],
        (0.214074, 0.453717, 0.167592, -0.484451),
        (0.628995, 1.022083, 0.134275),
    ),
    8000: (
        "your hand should press the yellow brick",
        "reach only the yellow brick",
        [("yellow", 0.278011, 0.180335), ("purple", 0.338653, 0.069748)],
        (-0.546796, 0.639387),
        (0.533306, 1.034557, 0.123338),
    ),
    10000: (
        "your hand should press the blue piece",
        "reach only the blue brick",
        [("blue", 0.289539, -0.192264), ("red", 0.308826, 0.076801)],
        (0.21058, -0.608022),
        (0.640402, 0.981731, 0.073469),
    ),
}
"""Words, held-out words, the first blocks, all yaws, the first joints, as the first release drew them for `touch`."""


@pytest.mark.parametrize("seed", DRAWN_AT_FIRST)
def test_the_scenes_and_words_of_touch_stay_those_that_controllers_were_trained_on(seed: int) -> None:
    words, held_out, blocks, yaws, joints = DRAWN_AT_FIRST[seed]
    episode = draw_episode(seed)
    assert episode.instruction == words
    assert draw_episode(seed, phrasing="held-out").instruction == held_out
    assert [block.yaw_rad for block in episode.blocks] == pytest.approx(yaws, abs=1e-6)
    for block, (colour, x_m, y_m) in zip(episode.blocks, blocks, strict=False):
        assert block.colour == colour
        assert (block.x_m, block.y_m) == pytest.approx((x_m, y_m), abs=1e-6)
    assert episode.posture[:3] == pytest.approx(joints, abs=1e-6)


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


@given(seed=seeds, task=st.sampled_from(["touch", "pick"]))
def test_phrasing_and_instruction_leave_the_scene_alone(seed: int, task: TaskName) -> None:
    train, held_out = draw_episode(seed, task=task), draw_episode(seed, task=task, phrasing="held-out")
    other = draw_episode(seed, task=task, instruction=f"touch the {train.blocks[-1].colour} block")
    assert train.blocks == held_out.blocks
    assert train.instruction != held_out.instruction
    assert set(other.blocks) == set(train.blocks)
    assert other.target == train.blocks[-1].colour
    for episode in (held_out, other):
        assert np.array_equal(episode.posture, train.posture)
        assert np.array_equal(episode.light.direction, train.light.direction)


@given(seed=seeds, colour=st.sampled_from(sorted(COLOURS)), task=st.sampled_from(["touch", "pick"]))
def test_a_colour_that_is_asked_for_is_there(seed: int, colour: str, task: TaskName) -> None:
    usual = draw_episode(seed, task=task)
    episode = draw_episode(seed, task=task, instruction=f"go for {colour}")
    assert episode.target == colour
    assert episode.instruction == f"go for {colour}"
    assert len({block.colour for block in episode.blocks}) == len(usual.blocks)
    if colour not in {block.colour for block in usual.blocks}:
        assert (episode.blocks[0].x_m, episode.blocks[0].y_m) == (usual.blocks[0].x_m, usual.blocks[0].y_m)


def test_an_unknown_colour_is_refused() -> None:
    with pytest.raises(ConfigError, match="name one of: red"):
        draw_episode(0, instruction="touch the mauve block")


@pytest.mark.parametrize("task", TASKS)
def test_seeds_reach_everything(task: TaskName) -> None:
    episodes = [draw_episode(seed, task=task) for seed in range(300)]
    assert {len(episode.blocks) for episode in episodes} == set(range(MIN_BLOCKS, MAX_BLOCKS + 1))
    assert {episode.target for episode in episodes} == set(COLOURS)
    left = sum(episode.blocks[0].y_m > 0 for episode in episodes)
    assert 110 < left < 190, "both hands get their share"
    assert len({episode.instruction for episode in episodes}) > 200


@pytest.mark.parametrize(("task", "home"), [("touch", HOME), ("pick", OPEN_HOME), ("bimanual", OPEN_HOME)])
def test_the_starting_posture_spreads_as_asked(task: TaskName, home: np.ndarray) -> None:
    for spread in (0.0, ARM_POSTURE_SPREAD_RAD, 0.3):
        offset = draw_episode(5, task=task, posture_spread_rad=spread).posture - home
        assert np.abs(offset[:14]).max() == pytest.approx(spread, rel=0.35)
        assert np.all(offset[14:] == 0), "fingers stay as they are"
