from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.sim_envs.humanoid import touch_motion
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import SIDES, TASKS, TaskName, side_of
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HAND_SLICE, HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M, BLOCK_TOP_M
from dualsys.sim_envs.humanoid.table import HumanoidTable
from dualsys.sim_envs.humanoid.touch_motion import field_velocity
from tests.unit.sim_envs.humanoid.playing import Told, make_table, play_on, rows_of, shifted

EPISODES = 12
Tables = Callable[[TaskName], HumanoidTable]


@pytest.fixture(scope="module")
def tables() -> Iterator[Tables]:
    made: dict[TaskName, HumanoidTable] = {}

    def get(task: TaskName) -> HumanoidTable:
        if task not in made:
            made[task] = make_table(task)
        return made[task]

    yield get
    for environment in made.values():
        environment.close()


@pytest.fixture
def env(tables: Tables) -> HumanoidTable:
    return tables("touch")


def successes(
    environment: HumanoidTable, *, error_m: float = 0.0, spread_rad: float = 0.1, push_rad: float = 0.0
) -> int:
    count = 0
    for seed in range(8000, 8000 + EPISODES):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * np.pi)
        environment.reset(seed=seed, options={"posture_spread_rad": spread_rad})
        task = Told(environment, shifted(error_m * np.array([np.cos(angle), np.sin(angle), 0.0])))
        expert = TableExpert(task)
        ended, step, push = False, 0, np.zeros(28)
        while not ended:
            if step % 15 == 0:
                push[:14] = rng.uniform(-push_rad, push_rad, 14)
            strength = np.sin(np.pi * (step % 15) / 15)
            *_, terminated, truncated, _ = environment.step(expert.act() + push * strength)
            ended, step = terminated or truncated, step + 1
        count += environment.success
    return count


def test_the_expert_touches_the_named_block(env: HumanoidTable) -> None:
    assert successes(env) == EPISODES


@pytest.mark.slow
def test_it_does_with_two_centimetres_of_aim_error(env: HumanoidTable) -> None:
    assert successes(env, error_m=0.02) == EPISODES


@pytest.mark.slow
def test_it_does_from_odd_postures_and_when_pushed(env: HumanoidTable) -> None:
    assert successes(env, spread_rad=0.2) == EPISODES
    assert successes(env, push_rad=0.08) >= EPISODES - 1


@pytest.mark.slow
@pytest.mark.parametrize("task", ["pick", "pick-with", "bimanual", "sequence"])
def test_the_expert_does_every_other_task_too(tables: Tables, task: TaskName) -> None:
    assert successes(tables(task)) >= EPISODES - 1


@pytest.mark.slow
@pytest.mark.parametrize("task", ["pick", "pick-with", "bimanual"])
def test_it_picks_from_odd_postures_when_pushed_and_a_little_beside(tables: Tables, task: TaskName) -> None:
    assert successes(tables(task), spread_rad=0.2) >= EPISODES - 1
    assert successes(tables(task), push_rad=0.02) >= EPISODES - 1
    assert successes(tables(task), error_m=0.005) >= EPISODES - 2


@pytest.mark.parametrize("task", TASKS)
def test_its_targets_keep_within_the_limits_of_the_embodiment(tables: Tables, task: TaskName) -> None:
    env = tables(task)
    embodiment, dt_s = env.embodiment, env.control_dt_s
    for seed in range(8000, 8006 if task == "touch" else 8003):
        env.reset(seed=seed)
        expert = TableExpert(env)
        rows = [env.observe().state, env.observe().state]
        ended = False
        while not ended:
            rows.append(expert.act())
            *_, terminated, truncated, _ = env.step(rows[-1])
            ended = terminated or truncated
        targets = np.array(rows)
        velocity = np.diff(targets, axis=0) / dt_s
        acceleration = np.diff(velocity, axis=0) / dt_s
        assert np.all((targets >= embodiment.lower) & (targets <= embodiment.upper))
        assert np.all(np.abs(velocity) <= embodiment.max_velocity)
        assert np.all(np.abs(acceleration) <= embodiment.max_acceleration)


def test_the_hand_of_the_blocks_side_moves_and_the_other_stays(env: HumanoidTable) -> None:
    env.reset(seed=8000)
    side = side_of(env.privileged()["target_position"][1])
    resting = slice(7, 14) if side == "left" else slice(0, 7)
    expert = TableExpert(env)
    for _ in range(50):
        row = expert.act()
        env.step(row)
    assert np.abs(row - HOME)[resting].max() < 0.03
    assert np.abs(row - HOME)[:14].max() > 0.3


@pytest.mark.parametrize("task", ["pick", "pick-with"])
def test_the_hand_without_a_block_to_pick_stays_home_and_open(tables: Tables, task: TaskName) -> None:
    env = tables(task)
    for seed in range(8000, 8004):
        env.reset(seed=seed)
        home = env.privileged()["home"]
        idle = next(side for side in SIDES if env.privileged()["hands"][side] is None)
        started_at = np.abs(env.observe().state - home)[ARM_SLICE[idle]].max()
        rows = rows_of(env, TableExpert(env), 150)
        away = np.abs(rows - home)
        assert env.success
        assert away[:, ARM_SLICE[idle]].max() <= started_at + 1e-6
        assert away[60:, ARM_SLICE[idle]].max() < 0.03
        assert away[:, HAND_SLICE[idle]].max() < 1e-9
        assert away[:, :14].max() > 0.3


@pytest.mark.parametrize("seed", [8006, 8009, 8013, 8029])
def test_a_hand_that_has_touched_goes_home_above_its_neighbours(tables: Tables, seed: int) -> None:
    """Straight home it would sweep through the block between."""
    tables("sequence").reset(seed=seed)
    assert play_on(tables("sequence"))["success"]


def test_after_a_touch_it_stays_put(env: HumanoidTable) -> None:
    env.reset(seed=8000)
    expert = TableExpert(env)
    while not env.success:
        env.step(expert.act())
    for _ in range(5):
        env.step(expert.act())
    rows = [expert.act() for _ in range(5)]
    assert np.ptp(rows, axis=0).max() < 1e-9


def test_an_episode_is_the_same_whatever_the_expert_did_before(env: HumanoidTable) -> None:
    expert = TableExpert(env)
    rows = []
    for _ in range(2):
        env.reset(seed=8001)
        expert.reset()
        for _ in range(30):
            row = expert.act()
            env.step(row)
        rows.append(row)
    assert np.array_equal(rows[0], rows[1])


coordinates = st.tuples(st.floats(0.1, 0.5), st.floats(-0.4, 0.4), st.floats(0.75, 1.1))


@given(point=coordinates)
def test_the_field_is_bounded_and_points_at_the_block(point: tuple[float, float, float]) -> None:
    target = np.array([0.32, 0.1, BLOCK_REST_M])
    velocity = field_velocity(np.array(point), target)
    assert np.hypot(velocity[0], velocity[1]) <= touch_motion.CRUISE_M_S + 1e-9
    assert abs(velocity[2]) <= touch_motion.DESCENT_M_S + 1e-9
    assert velocity[:2] @ (target[:2] - point[:2]) >= 0


def test_low_beside_the_blocks_the_field_goes_up_before_it_goes_along() -> None:
    velocity = field_velocity(np.array([0.2, 0.25, BLOCK_TOP_M]), np.array([0.35, 0.05, BLOCK_REST_M]))
    assert np.hypot(velocity[0], velocity[1]) == 0
    assert velocity[2] > 0.05
