from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import SIDES, Side
from dualsys.sim_envs.humanoid.pick_motion import CLIMB_M_S, CRUISE_M_S, GRIP_M, HOVER_M, PickMotion, pick_field
from dualsys.sim_envs.humanoid.robot import CLOSED_HAND, HAND_SLICE, HOME, OPEN_HAND, OPEN_HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M, BLOCK_TOP_M
from dualsys.sim_envs.humanoid.table import HumanoidTable
from tests.unit.sim_envs.humanoid.playing import make_table, play_on, put_block, qpos_of

BLOCK = np.array([0.32, 0.1, BLOCK_REST_M])
coordinates = st.tuples(st.floats(0.1, 0.5), st.floats(-0.4, 0.4), st.floats(0.75, 1.1))
closures = st.floats(0.0, 1.6)


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidTable]:
    environment = make_table("pick")
    yield environment
    environment.close()


def picking_side(env: HumanoidTable) -> Side:
    return next(side for side in SIDES if env.privileged()["hands"][side] is not None)


def closed_share(row: FloatArray, side: Side) -> float:
    """0 for an open hand, 1 for a closed one, from the joint that moves the most."""
    joint = int(np.abs(CLOSED_HAND[side] - OPEN_HAND[side]).argmax())
    way = CLOSED_HAND[side][joint] - OPEN_HAND[side][joint]
    return float((row[HAND_SLICE[side]][joint] - OPEN_HAND[side][joint]) / way)


def picks_after_a_shift(env: HumanoidTable, seed: int, shift_m: tuple[float, float]) -> tuple[bool, int]:
    """Push the block away as the hand begins to close: whether it is lifted, and how often the hand closes."""
    env.reset(seed=seed)
    target, side = env.privileged()["target"], picking_side(env)
    expert = TableExpert(env)
    is_pushed = is_closing = ended = False
    times_closed = 0
    while not ended:
        row = expert.act()
        *_, terminated, truncated, _ = env.step(row)
        ended = terminated or truncated
        share = closed_share(row, side)
        if not is_pushed and share > 0.2:
            pose = env.physics_state()[qpos_of(env, target)]
            pose[:2] += shift_m
            put_block(env, target, pose)
            is_pushed = True
        times_closed += not is_closing and share > 0.2
        is_closing = share > (0.1 if is_closing else 0.2)
    return env.success, times_closed


@pytest.mark.slow
@pytest.mark.parametrize("shift_m", [(0.03, 0.0), (-0.03, 0.0)])
def test_a_block_pushed_three_centimetres_as_the_hand_closes_is_lifted(
    env: HumanoidTable, shift_m: tuple[float, float]
) -> None:
    """Ahead and back: to the sides the hand is in the way."""
    results = [picks_after_a_shift(env, seed, shift_m) for seed in range(8000, 8010)]
    assert sum(lifted for lifted, _ in results) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("shift_m", [(0.0, 0.06), (0.0, -0.06)])
def test_a_hand_whose_block_is_gone_opens_and_tries_again(env: HumanoidTable, shift_m: tuple[float, float]) -> None:
    results = [picks_after_a_shift(env, seed, shift_m) for seed in range(8000, 8010)]
    assert sum(lifted for lifted, _ in results) >= 9
    assert all(times_closed == 2 for lifted, times_closed in results if lifted)


@pytest.mark.parametrize(
    "fingers", [CLOSED_HAND, {side: HOME[HAND_SLICE[side]] for side in SIDES}], ids=["shut", "fist"]
)
def test_a_hand_that_starts_closed_opens_first(env: HumanoidTable, fingers: dict[Side, FloatArray]) -> None:
    for seed in range(8000, 8003):
        env.reset(seed=seed)
        row = OPEN_HOME.copy()
        for side in SIDES:
            row[HAND_SLICE[side]] = fingers[side]
        for _ in range(25):
            env.step(row)
        assert play_on(env)["success"]


@pytest.mark.parametrize("side", SIDES)
def test_closure_goes_from_open_over_closed_to_a_fist(env: HumanoidTable, side: Side) -> None:
    motion = PickMotion(env.model, side)
    assert motion.closure(OPEN_HAND[side]) == pytest.approx(0.0)
    assert motion.closure(CLOSED_HAND[side]) == pytest.approx(1.0)
    assert motion.closure(HOME[HAND_SLICE[side]]) > 1.1


@given(point=coordinates, closure=closures, gripped=st.booleans())
def test_the_field_is_bounded_and_never_leads_away(
    point: tuple[float, float, float], closure: float, gripped: bool
) -> None:
    velocity, _ = pick_field(np.array(point), BLOCK, closure, gripped)
    assert np.hypot(velocity[0], velocity[1]) <= CRUISE_M_S + 1e-9
    assert abs(velocity[2]) <= CLIMB_M_S + 1e-9
    assert velocity[:2] @ (BLOCK[:2] - point[:2]) >= 0


@given(point=coordinates)
def test_an_open_hand_closes_around_the_block_and_nowhere_else(point: tuple[float, float, float]) -> None:
    place = np.array(point)
    _, closing = pick_field(place, BLOCK, 0.0, gripped=False)
    if closing:
        assert np.hypot(*(place - BLOCK)[:2]) < 0.02, "the block is 4 cm wide"
        assert place[2] < BLOCK_TOP_M
    if np.linalg.norm(place - BLOCK - (0, 0, GRIP_M)) < 0.01:
        assert closing


@given(point=coordinates)
def test_low_beside_the_blocks_it_goes_up_before_it_goes_along(point: tuple[float, float, float]) -> None:
    place = np.array([*point[:2], BLOCK_REST_M + GRIP_M])
    if np.hypot(*(place - BLOCK)[:2]) > 0.04:
        velocity, closing = pick_field(place, BLOCK, 0.0, gripped=False)
        assert np.hypot(velocity[0], velocity[1]) == 0
        assert velocity[2] > 0.05
        assert not closing


def test_what_is_gripped_goes_straight_up_and_stops() -> None:
    held = BLOCK + np.array([0.0, 0.0, GRIP_M])
    velocity, closing = pick_field(held, BLOCK, 0.95, gripped=True)
    assert closing
    assert velocity[:2] == pytest.approx([0, 0])
    assert velocity[2] > 0.1
    up = np.array([0.0, 0.0, HOVER_M])
    velocity, closing = pick_field(held + up, BLOCK + up, 0.95, gripped=True)
    assert closing
    assert abs(velocity[2]) < 0.1


def test_a_hand_shut_on_nothing_opens_as_it_rises() -> None:
    beside = BLOCK + np.array([0.06, 0.0, GRIP_M])
    velocity, closing = pick_field(beside, BLOCK, 1.0, gripped=False)
    assert not closing
    assert velocity[2] > 0.1
