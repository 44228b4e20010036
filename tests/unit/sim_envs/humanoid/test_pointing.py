"""When a fist points at a block, and when it does not: the expert, told right or wrong, in real physics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import SIDES, Side, side_of
from dualsys.sim_envs.humanoid.robot import HOME, TOUCH_POINT_M
from dualsys.sim_envs.humanoid.table import HumanoidTable
from tests.unit.sim_envs.humanoid.playing import (
    make_table,
    play_on,
    put_block,
    qpos_of,
    seed_where,
    shifted,
    with_hands,
)

SEED = 8000
TOP_M = 0.06
"""Of a block above its centre."""


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidTable]:
    environment = make_table("point")
    yield environment
    environment.close()


def fist_over_block(env: HumanoidTable, side: Side) -> FloatArray:
    """From the middle of the named block's top to the front of a fist `(3,)`."""
    wrist = env.model.body(f"{side}_wrist_yaw_link").id
    front = env._data.xpos[wrist] + env._data.xmat[wrist].reshape(3, 3) @ np.array(TOUCH_POINT_M[side])
    return np.asarray(front - env.privileged()["target_position"] - [0.0, 0.0, TOP_M])


def points(env: HumanoidTable) -> bool:
    """What the task asks for: 3 to 12 cm above the block and within 3 cm of its axis."""
    places = [fist_over_block(env, side) for side in SIDES]
    return any(np.hypot(x, y) <= 0.03 and 0.03 <= z <= 0.12 for x, y, z in places)


def acting_side(env: HumanoidTable) -> Side:
    return next(side for side in SIDES if env.privileged()["hands"][side] is not None)


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_success_comes_when_a_fist_has_been_over_the_block_for_half_a_second(env: HumanoidTable, seed: int) -> None:
    env.reset(seed=seed)
    expert = TableExpert(env)
    since_s, ended = None, False
    while not ended:
        *_, terminated, truncated, info = env.step(expert.act())
        since_s = None if not points(env) else info["time_s"] if since_s is None else since_s
        over_s = 0.0 if since_s is None else info["time_s"] - since_s
        assert info["success"] == (over_s >= 0.5 - 1e-6), f"over it for {over_s:.3f} s"
        ended = terminated or truncated
    assert (info["success"], info["failure"], info["touched"], info["goals_done"]) == (True, None, None, 1)
    for _ in range(25):
        *_, info = env.step(HOME)
    assert info["success"], "what happens afterwards takes nothing back"


def test_who_leaves_too_soon_begins_anew(env: HumanoidTable) -> None:
    """The block is taken away for a step, after most of the time."""
    env.reset(seed=SEED)
    expert, target = TableExpert(env), env.privileged()["target"]
    while not points(env):
        env.step(expert.act())
    for _ in range(20):
        *_, info = env.step(expert.act())
    assert not info["success"]
    row, pose = expert.act(), env.physics_state()[qpos_of(env, target)]
    put_block(env, target, np.array([pose[0], -pose[1], *pose[2:]]))
    *_, info = env.step(row)
    assert not points(env)
    away_s = info["time_s"]
    put_block(env, target, pose)
    assert play_on(env)["time_s"] >= away_s + 0.5


@pytest.mark.parametrize(("error_m", "why"), [((0.0, 0.0, 0.07), "too high"), ((0.04, 0.0, 0.0), "beside it")])
def test_a_fist_that_stays_elsewhere_runs_out_of_time(env: HumanoidTable, error_m: Any, why: str) -> None:
    env.reset(seed=SEED)
    side = acting_side(env)
    info = play_on(env, change=shifted(np.array(error_m)))
    x, y, z = fist_over_block(env, side)
    assert {"too high": z > 0.12, "beside it": np.hypot(x, y) > 0.03}[why]
    assert np.hypot(x, y) < 0.06
    assert (info["truncated"], info["success"], info["failure"], info["touched"]) == (True, False, None, None)
    assert info["time_s"] == pytest.approx(6.0)


def test_pointing_at_another_block_is_nothing(env: HumanoidTable) -> None:
    env.reset(seed=SEED)
    target = env.privileged()["target"]
    other = next(colour for colour in env.privileged()["blocks"] if colour != target)
    side = side_of(env.privileged()["blocks"][other][1])
    away: Side = "right" if side == "left" else "left"
    info = play_on(env, change=with_hands(**{side: ("point", other), away: None}))
    assert (info["truncated"], info["success"], info["failure"]) == (True, False, None)


@pytest.mark.parametrize("named", [True, False])
def test_touching_any_block_fails(env: HumanoidTable, named: bool) -> None:
    env.reset(seed=SEED)
    target = env.privileged()["target"]
    colour = target if named else next(other for other in env.privileged()["blocks"] if other != target)
    side = side_of(env.privileged()["blocks"][colour][1])
    away: Side = "right" if side == "left" else "left"
    info = play_on(env, change=with_hands(**{side: ("touch", colour), away: None}))
    assert info["terminated"]
    assert (info["success"], info["failure"], info["touched"]) == (False, "touched a block", colour)


def test_either_hand_may_point(env: HumanoidTable) -> None:
    seed = seed_where("point", lambda episode: abs(episode.blocks[0].y_m) < 0.05 and episode.blocks[0].x_m < 0.33)
    for hand, other in (SIDES, SIDES[::-1]):
        target = env.reset(seed=seed)[1]["target"]
        info = play_on(env, change=with_hands(**{hand: ("point", target), other: None}))
        assert info["success"]
        assert np.hypot(*fist_over_block(env, hand)[:2]) < 0.03


def test_free_text_names_the_block(env: HumanoidTable) -> None:
    colour = list(env.privileged()["blocks"])[1]
    _, info = env.reset(seed=SEED, options={"instruction": f"hover over the {colour} thing"})
    assert info["target"] == colour
    assert play_on(env)["success"]


def test_the_scenes_are_those_of_touching() -> None:
    touch, point = make_table("touch"), make_table("point")
    for seed in range(SEED, SEED + 5):
        touch.reset(seed=seed)
        point.reset(seed=seed)
        assert np.array_equal(touch.physics_state(), point.physics_state())
