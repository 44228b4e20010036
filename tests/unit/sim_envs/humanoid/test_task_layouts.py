"""Where the blocks of each task may stand, and what an instruction changes."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.sim_envs.humanoid.goals import SIDES, TASKS, Side, TaskName, side_of
from dualsys.sim_envs.humanoid.layout import (
    BLOCK_X_M,
    BLOCK_Y_M,
    EITHER_HAND_X_M,
    EITHER_HAND_Y_M,
    MAX_BLOCKS,
    MIN_BLOCKS,
    MIN_SPACING_M,
    OWN_SIDE_Y_M,
    Block,
    Episode,
    draw_episode,
)
from dualsys.sim_envs.humanoid.palette import COLOURS

seeds = st.integers(0, 2**31 - 1)
tasks = st.sampled_from(TASKS)
colours = st.sampled_from(sorted(COLOURS))
two_colours = st.lists(colours, min_size=2, max_size=2, unique=True)


def places(episode: Episode) -> set[tuple[float, float, float]]:
    return {(block.x_m, block.y_m, block.yaw_rad) for block in episode.blocks}


def in_strips(block: Block) -> bool:
    in_reach = BLOCK_X_M[0] <= block.x_m <= BLOCK_X_M[1]
    return in_reach and BLOCK_Y_M[0] <= abs(block.y_m) <= BLOCK_Y_M[1]


def within_both_hands_reach(block: Block) -> bool:
    in_x = EITHER_HAND_X_M[0] <= block.x_m <= EITHER_HAND_X_M[1]
    return in_x and EITHER_HAND_Y_M[0] <= block.y_m <= EITHER_HAND_Y_M[1]


def one_on_each_side(episode: Episode) -> bool:
    first, second = episode.blocks[:2]
    apart = side_of(first.y_m) != side_of(second.y_m)
    return apart and all(OWN_SIDE_Y_M[0] <= abs(block.y_m) <= OWN_SIDE_Y_M[1] for block in (first, second))


@settings(max_examples=200)
@given(seed=seeds, task=tasks)
def test_every_task_has_blocks_apart_of_different_colours_the_named_ones_first(seed: int, task: TaskName) -> None:
    episode = draw_episode(seed, task=task)
    blocks = episode.blocks
    assert MIN_BLOCKS <= len(blocks) <= MAX_BLOCKS
    assert len({block.colour for block in blocks}) == len(blocks)
    assert [block.colour for block in blocks[: len(episode.goals)]] == [goal.colour for goal in episode.goals]
    own_places = {"pick-with": 1}.get(task, 0)
    assert all(in_strips(block) for block in blocks[own_places:])
    for one, other in itertools.combinations(blocks, 2):
        assert np.hypot(one.x_m - other.x_m, one.y_m - other.y_m) >= MIN_SPACING_M


@settings(max_examples=200)
@given(seed=seeds, task=tasks)
def test_the_held_out_words_ask_for_the_same_thing_in_the_same_scene(seed: int, task: TaskName) -> None:
    train, held_out = (draw_episode(seed, task=task, phrasing=phrasing) for phrasing in ("train", "held-out"))
    assert train.blocks == held_out.blocks
    assert train.instruction != held_out.instruction
    asked = [[(goal.verb, goal.colour) for goal in episode.goals] for episode in (train, held_out)]
    assert asked[0] == asked[1]
    if task != "bimanual":  # where hands are named in some sentences only
        assert train.goals == held_out.goals


@given(seed=seeds)
def test_a_pick_has_the_scene_of_the_touch(seed: int) -> None:
    assert draw_episode(seed, task="pick").blocks == draw_episode(seed, task="touch").blocks


@given(seed=seeds)
def test_what_either_hand_may_be_told_to_take_stands_between_them(seed: int) -> None:
    assert within_both_hands_reach(draw_episode(seed, task="pick-with").blocks[0])


def test_the_hand_that_is_named_does_not_follow_from_the_side() -> None:
    episodes = [draw_episode(seed, task="pick-with") for seed in range(800)]
    counts = Counter((episode.goals[0].hand, side_of(episode.blocks[0].y_m)) for episode in episodes)
    for named, side in itertools.product(SIDES, SIDES):
        assert 150 < counts[named, side] < 250, counts


@given(seed=seeds)
def test_what_both_hands_take_stands_one_on_each_side(seed: int) -> None:
    episode = draw_episode(seed, task="bimanual")
    assert one_on_each_side(episode)
    for block, goal in zip(episode.blocks, episode.goals, strict=False):
        assert goal.hand in (None, side_of(block.y_m)), "no hand has to cross the other"


def test_sequences_are_of_two_or_three_steps_on_different_blocks_touches_first() -> None:
    episodes = [draw_episode(seed, task="sequence") for seed in range(400)]
    for episode in episodes:
        assert len({goal.colour for goal in episode.goals}) == len(episode.goals)
        assert all(goal.verb == "touch" for goal in episode.goals[:-1])
    assert {len(episode.goals) for episode in episodes} == {2, 3}
    picks = sum(episode.goals[-1].verb == "pick" for episode in episodes)
    assert 150 < picks < 250


@given(seed=seeds, colour=colours, hand=st.sampled_from(SIDES))
def test_a_block_and_hand_that_are_asked_for_go_together(seed: int, colour: str, hand: Side) -> None:
    usual = draw_episode(seed, task="pick-with")
    episode = draw_episode(seed, task="pick-with", instruction=f"lift {colour}, {hand} hand")
    assert (episode.goals[0].colour, episode.goals[0].hand) == (colour, hand)
    assert episode.blocks[0].colour == colour
    assert within_both_hands_reach(episode.blocks[0]), "whichever block is named"
    assert places(episode) == places(usual)
    check_colours(episode, usual)


@settings(max_examples=200)
@given(seed=seeds, names=two_colours, hands=st.sampled_from([None, SIDES, SIDES[::-1]]))
def test_two_blocks_that_are_asked_for_are_one_on_each_side(
    seed: int, names: list[str], hands: tuple[Side, Side] | None
) -> None:
    usual = draw_episode(seed, task="bimanual")
    said = "{} and {}".format(*names) if hands is None else f"{names[0]} {hands[0]}, {names[1]} {hands[1]}"
    episode = draw_episode(seed, task="bimanual", instruction=said)
    assert [block.colour for block in episode.blocks[:2]] == names
    assert one_on_each_side(episode)
    if hands is not None:
        assert tuple(side_of(block.y_m) for block in episode.blocks[:2]) == hands
    assert places(episode) == places(usual)
    check_colours(episode, usual)


def check_colours(episode: Episode, usual: Episode) -> None:
    """Colours that were there stay, as far as there is room beside those that are asked for."""
    had, has = ({block.colour for block in one.blocks} for one in (usual, episode))
    named = {goal.colour for goal in episode.goals}
    assert len(has) == len(had)
    assert has <= had | named
    if named <= had:
        assert has == had


@settings(max_examples=200)
@given(seed=seeds, names=st.lists(colours, min_size=2, max_size=3))
def test_sequences_find_every_block_they_name_once(seed: int, names: list[str]) -> None:
    usual = draw_episode(seed, task="sequence")
    episode = draw_episode(seed, task="sequence", instruction=" then ".join(names))
    assert [goal.colour for goal in episode.goals] == names
    named = list(dict.fromkeys(names))
    assert [block.colour for block in episode.blocks[: len(named)]] == named
    assert len({block.colour for block in episode.blocks}) == len(episode.blocks)
    assert len(episode.blocks) == max(len(usual.blocks), len(named))
    if len(named) <= len(usual.blocks):
        assert places(episode) == places(usual)


@pytest.mark.parametrize("task", TASKS)
def test_scene_words_and_posture_come_from_streams_of_their_own(task: TaskName) -> None:
    at_home, spread = (draw_episode(11, task=task, posture_spread_rad=value) for value in (0.0, 0.3))
    assert at_home.blocks == spread.blocks
    assert at_home.instruction == spread.instruction
    assert np.array_equal(at_home.light.table_rgb, draw_episode(11).light.table_rgb)
