"""Success and failure as the physics give them: the expert, told right or wrong, or blocks put somewhere."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import SIDES, Side, side_of
from dualsys.sim_envs.humanoid.judge import TIME_LIMIT_S
from dualsys.sim_envs.humanoid.robot import HOME, OPEN_HOME
from dualsys.sim_envs.humanoid.table import HumanoidTable
from tests.unit.sim_envs.humanoid.playing import (
    Told,
    height_m,
    make_table,
    play_on,
    put_block,
    qpos_of,
    rows_of,
    seed_where,
    with_hands,
)

SEED = 8000
STANDING_M, FLAT_M, UP_M = 0.76, 0.72, 0.82
"""Heights of a block's centre: upright on the table, on its side, 6 cm up."""
LYING = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)


@pytest.fixture(scope="module")
def pick() -> HumanoidTable:
    return make_table("pick")


@pytest.fixture(scope="module")
def bimanual() -> HumanoidTable:
    return make_table("bimanual")


@pytest.fixture(scope="module")
def sequence() -> HumanoidTable:
    return make_table("sequence")


def steps(env: HumanoidTable, expert: TableExpert) -> Iterator[dict[str, Any]]:
    """The `info` of every step of the expert until the episode ends."""
    while True:
        *_, terminated, truncated, info = env.step(expert.act())
        yield info
        if terminated or truncated:
            return


def other_than(env: HumanoidTable, *colours: str) -> str:
    return str(next(colour for colour in env.privileged()["blocks"] if colour not in colours))


def acting_side(env: HumanoidTable) -> Side:
    return next(side for side in SIDES if env.privileged()["hands"][side] is not None)


def is_held(env: HumanoidTable, colour: str) -> bool:
    """Read from MuJoCo's own list of contacts: whether some part of the robot is against the block."""
    index = list(env.privileged()["blocks"]).index(colour)
    data = env._data
    names = [
        {env.model.body(int(env.model.geom_bodyid[geom])).name for geom in contact.geom}
        for contact in data.contact[: data.ncon]
        if contact.dist <= 0
    ]
    return any(f"block{index}" in pair and any("hand" in name or "wrist" in name for name in pair) for pair in names)


# picking


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_success_comes_when_the_block_has_been_up_for_a_fifth_of_a_second_and_not_before(
    pick: HumanoidTable, seed: int
) -> None:
    pick.reset(seed=seed)
    target = pick.privileged()["target"]
    up_since_s = None
    for info in steps(pick, TableExpert(pick)):
        is_up = height_m(pick, target) >= UP_M and is_held(pick, target)
        up_since_s = None if not is_up else up_since_s if up_since_s is not None else info["time_s"]
        held_s = 0.0 if up_since_s is None else info["time_s"] - up_since_s
        assert info["success"] == (held_s >= 0.2 - 1e-6), f"held for {held_s:.3f} s"
    assert info["success"]
    assert (info["lifted"], info["failure"], info["goals_done"]) == (target, None, 1)
    assert info["lifted_by"] == acting_side(pick)


def test_a_block_that_comes_down_too_soon_has_to_be_held_anew(pick: HumanoidTable) -> None:
    pick.reset(seed=SEED)
    target = pick.privileged()["target"]
    started = pick.physics_state()[qpos_of(pick, target)]
    expert = TableExpert(pick)
    episode = steps(pick, expert)
    while height_m(pick, target) < UP_M:
        next(episode)
    for _ in range(6):
        next(episode)
    put_block(pick, target, started)
    low_at_s = next(episode)["time_s"]
    infos = list(episode)
    assert infos[-1]["success"], "it goes and lifts it again"
    assert infos[-1]["time_s"] > low_at_s + 0.5


def test_a_block_in_the_air_that_no_hand_holds_is_not_lifted(pick: HumanoidTable) -> None:
    pick.reset(seed=SEED)
    target = pick.privileged()["target"]
    pose = pick.physics_state()[qpos_of(pick, target)]
    for _ in range(25):
        put_block(pick, target, np.array([*pose[:2], 1.1, *pose[3:]]))
        *_, info = pick.step(OPEN_HOME)
    assert height_m(pick, target) > UP_M
    assert (info["success"], info["lifted"], info["failure"]) == (False, None, None)


def test_lifting_another_block_fails_as_soon_as_it_is_off_the_table(pick: HumanoidTable) -> None:
    pick.reset(seed=SEED)
    target = pick.privileged()["target"]
    other = other_than(pick, target)
    side = side_of(pick.privileged()["blocks"][other][1])
    away: Side = "right" if side == "left" else "left"
    info = play_on(pick, change=with_hands(**{side: ("pick", other), away: None}))
    assert info["terminated"]
    assert (info["success"], info["failure"]) == (False, "lifted another block")
    assert (info["lifted"], info["lifted_by"]) == (other, side)
    assert STANDING_M + 0.015 < height_m(pick, other) < UP_M
    assert abs(height_m(pick, target) - STANDING_M) < 0.002


def test_the_wrong_hand_fails_as_soon_as_the_block_is_off_the_table() -> None:
    env = make_table("pick-with")
    seed = seed_where("pick-with", lambda episode: abs(episode.blocks[0].y_m) < 0.05)
    target = env.reset(seed=seed)[1]["target"]
    for hand, other in (SIDES, SIDES[::-1]):
        env.reset(seed=seed, options={"instruction": f"lift {target} with your {hand} hand"})
        assert play_on(env)["success"], "told right"
        env.reset(seed=seed, options={"instruction": f"lift {target} with your {other} hand"})
        info = play_on(env, change=with_hands(**{hand: ("pick", target), other: None}))
        assert info["terminated"]
        assert (info["success"], info["failure"]) == (False, "used the wrong hand")
        assert (info["lifted"], info["lifted_by"]) == (target, hand)
        assert STANDING_M + 0.015 < height_m(env, target) < UP_M


def test_where_no_hand_is_named_either_may_lift(pick: HumanoidTable) -> None:
    seed = seed_where("pick", lambda episode: abs(episode.blocks[0].y_m) < 0.05 and episode.blocks[0].x_m < 0.33)
    for hand, other in (SIDES, SIDES[::-1]):
        target = pick.reset(seed=seed)[1]["target"]
        info = play_on(pick, change=with_hands(**{hand: ("pick", target), other: None}))
        assert (info["success"], info["lifted_by"]) == (True, hand)


def test_a_block_to_be_picked_that_falls_over_ends_the_episode_and_another_does_not(pick: HumanoidTable) -> None:
    for named in (False, True):
        pick.reset(seed=SEED)
        target = pick.privileged()["target"]
        colour = target if named else other_than(pick, target)
        x, y = pick.privileged()["blocks"][colour][:2]
        put_block(pick, colour, np.array([x, y, FLAT_M + 0.001, *LYING]))
        *_, terminated, _, info = pick.step(OPEN_HOME)
        assert terminated == named
        assert info["failure"] == ("block fell" if named else None)
        assert not info["success"]


def test_nor_does_one_that_leans_or_has_been_pushed(pick: HumanoidTable) -> None:
    pick.reset(seed=SEED)
    target = pick.privileged()["target"]
    x, y = pick.privileged()["blocks"][target][:2]
    half = np.radians(10) / 2
    put_block(pick, target, np.array([x, y, STANDING_M + 0.005, np.cos(half), np.sin(half), 0.0, 0.0]))
    for _ in range(40):
        *_, info = pick.step(OPEN_HOME)
    assert info["failure"] is None
    assert play_on(pick)["success"]


def test_a_block_that_falls_after_success_takes_nothing_back(pick: HumanoidTable) -> None:
    pick.reset(seed=SEED)
    target = pick.privileged()["target"]
    assert play_on(pick)["success"]
    for _ in range(100):
        *_, info = pick.step(OPEN_HOME)
    assert height_m(pick, target) < UP_M
    assert (info["success"], info["failure"]) == (True, None)


# both hands


def test_both_blocks_must_be_up(bimanual: HumanoidTable) -> None:
    bimanual.reset(seed=SEED)
    blocks = [task[1] for task in bimanual.privileged()["hands"].values()]
    info = play_on(bimanual, change=with_hands(right=None), most_s=4.0)
    assert height_m(bimanual, blocks[0]) > UP_M
    assert (info["ended"], info["success"], info["goals_done"]) == (False, False, 0)
    assert (info["lifted"], info["lifted_by"]) == (blocks[0], "left")
    info = play_on(bimanual)
    assert info["success"]
    assert all(height_m(bimanual, colour) > UP_M for colour in blocks)


def test_at_once(bimanual: HumanoidTable) -> None:
    """One up and down again, then the other: both have been up, and that is not it."""
    bimanual.reset(seed=SEED)
    blocks = [task[1] for task in bimanual.privileged()["hands"].values()]
    started = bimanual.physics_state()[qpos_of(bimanual, blocks[0])]
    play_on(bimanual, change=with_hands(right=None), most_s=4.0)
    assert height_m(bimanual, blocks[0]) > UP_M
    put_block(bimanual, blocks[0], started)
    info = play_on(bimanual, change=with_hands(left=None))
    assert height_m(bimanual, blocks[1]) > UP_M
    assert info["truncated"]
    assert info["time_s"] == pytest.approx(TIME_LIMIT_S["bimanual"])
    assert (info["success"], info["failure"]) == (False, None)


def test_each_with_the_hand_that_is_named_for_it() -> None:
    env = make_table("bimanual")
    env.reset(seed=SEED)
    left, right = (task[1] for task in env.privileged()["hands"].values())
    for said in (f"left {left} right {right}", f"right {right}, left {left}"):
        env.reset(seed=SEED, options={"instruction": said})
        assert play_on(env)["success"]


def test_either_of_the_two_falling_ends_it(bimanual: HumanoidTable) -> None:
    for side in SIDES:
        bimanual.reset(seed=SEED)
        colour = bimanual.privileged()["hands"][side][1]
        x, y = bimanual.privileged()["blocks"][colour][:2]
        put_block(bimanual, colour, np.array([x, y, FLAT_M + 0.001, *LYING]))
        assert bimanual.step(OPEN_HOME)[-1]["failure"] == "block fell"


# one after the other


@pytest.mark.parametrize("verb", ["touch", "pick"])
def test_steps_in_their_order_are_success(sequence: HumanoidTable, verb: str) -> None:
    sequence.reset(seed=seed_where("sequence", lambda e: len(e.goals) == 3 and e.goals[-1].verb == verb))
    asked, done = [], 0
    for info in steps(sequence, TableExpert(sequence)):
        assert done <= info["goals_done"] <= done + 1
        if info["goals_done"] > done:
            asked.append(info["lifted"] if (verb, done) == ("pick", 2) else info["touched"])
        done = info["goals_done"]
        assert info["success"] == (done == 3)
    assert asked == [goal.colour for goal in sequence._episode.goals]


def test_touching_the_second_block_first_fails(sequence: HumanoidTable) -> None:
    sequence.reset(seed=seed_where("sequence", lambda e: e.goals[1].verb == "touch"))
    second = sequence._episode.goals[1].colour
    side = side_of(sequence.privileged()["blocks"][second][1])
    away: Side = "right" if side == "left" else "left"
    info = play_on(sequence, change=with_hands(**{side: ("touch", second), away: None}))
    assert info["terminated"]
    assert (info["success"], info["failure"]) == (False, "touched another block")
    assert (info["touched"], info["goals_done"]) == (second, 0)


def test_a_block_still_in_contact_is_no_new_touch_and_one_left_and_met_again_is(sequence: HumanoidTable) -> None:
    seed = seed_where("sequence", lambda e: len(e.blocks) == 2 and e.blocks[0].y_m * e.blocks[1].y_m < 0)
    colour = sequence.reset(seed=seed)[1]["target"]
    sequence.reset(seed=seed, options={"instruction": f"touch {colour} then touch {colour}"})
    expert = TableExpert(sequence)
    while sequence.step(expert.act())[-1]["goals_done"] == 0:
        pass
    resting = sequence.privileged()["command"]
    for _ in range(40):
        *_, info = sequence.step(resting)
        assert is_held(sequence, colour)
        assert (info["goals_done"], info["failure"]) == (1, None)
    for _ in range(60):
        *_, info = sequence.step(HOME)
    assert not is_held(sequence, colour)
    assert info["goals_done"] == 1
    assert play_on(sequence)["success"]


def test_a_block_of_an_earlier_step_may_be_met_again(sequence: HumanoidTable) -> None:
    seed = seed_where("sequence", lambda e: len(e.blocks) == 2 and e.blocks[0].y_m * e.blocks[1].y_m < 0)
    first, second = sequence.reset(seed=seed)[1]["target"], other_than(sequence, sequence.privileged()["target"])
    sequence.reset(seed=seed, options={"instruction": f"touch {first} then touch {second}"})
    side = acting_side(sequence)
    again = with_hands(**{one: ("touch", first) if one == side else None for one in SIDES})
    expert = TableExpert(sequence)
    while sequence.step(expert.act())[-1]["goals_done"] == 0:
        pass
    for _ in range(60):
        sequence.step(HOME)
    assert not is_held(sequence, first)
    task = Told(sequence, again)
    expert = TableExpert(task)
    while not is_held(sequence, first):
        *_, info = sequence.step(expert.act())
    assert (info["goals_done"], info["failure"]) == (1, None)
    assert play_on(sequence)["success"]


def test_a_touch_with_the_hand_that_is_not_named_fails(sequence: HumanoidTable) -> None:
    seed = seed_where("sequence", lambda e: len(e.blocks) == 2 and e.blocks[0].y_m * e.blocks[1].y_m < 0)
    first, own = sequence.reset(seed=seed)[1]["target"], acting_side(sequence)
    away: Side = "right" if own == "left" else "left"
    said = f"touch {first} with your {{}} hand then touch {other_than(sequence, first)}"
    sequence.reset(seed=seed, options={"instruction": said.format(own)})
    assert play_on(sequence)["success"]
    sequence.reset(seed=seed, options={"instruction": said.format(away)})
    info = play_on(sequence, change=with_hands(**{own: ("touch", first), away: None}))
    assert (info["terminated"], info["success"], info["failure"]) == (True, False, "used the wrong hand")
    assert (info["touched"], info["goals_done"]) == (first, 0)


@pytest.mark.parametrize("task", TIME_LIMIT_S)
def test_doing_nothing_runs_into_the_time_limit_of_the_task(task: Any) -> None:
    env = make_table(task)
    env.reset(seed=SEED)
    posture, ended = env.observe().state, False
    while not ended:
        *_, terminated, ended, info = env.step(posture)
        assert not terminated
    assert info["time_s"] == pytest.approx(TIME_LIMIT_S[task])
    assert (info["success"], info["failure"], info["touched"], info["lifted"]) == (False, None, None, None)


def test_contacts_are_read_for_each_hand(pick: HumanoidTable) -> None:
    """While the expert lifts, the facts name the block as gripped by the hand that does, and by no other."""
    pick.reset(seed=SEED)
    target, side = pick.privileged()["target"], acting_side(pick)
    assert pick.privileged()["gripped"] == {"left": [], "right": []}
    rows_of(pick, TableExpert(pick), 95)
    assert height_m(pick, target) > STANDING_M + 0.02
    assert pick.privileged()["gripped"] == {one: [target] if one == side else [] for one in SIDES}


@pytest.mark.slow
def test_two_picks_in_a_sequence_are_done_one_after_the_other(sequence: HumanoidTable) -> None:
    """Unlike both at once in `bimanual`: the second counts only once the first is done."""

    seed = seed_where("sequence", lambda episode: {side_of(block.y_m) for block in episode.blocks} == set(SIDES))
    sequence.reset(seed=seed)
    places = sequence.privileged()["blocks"]
    first, second = (next(c for c, place in places.items() if side_of(place[1]) == side) for side in SIDES)
    text = f"pick up the {first} block then pick up the {second} block"
    sequence.reset(seed=seed, options={"instruction": text})
    seen = [(info["goals_done"], info["target"]) for info in steps(sequence, TableExpert(sequence))]
    assert {target for done, target in seen if done == 0} == {first}
    assert {target for done, target in seen if done == 1} == {second}
    assert seen[-1] == (2, second)
    assert sequence.success
