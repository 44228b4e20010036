from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid import expert as expert_module
from dualsys.sim_envs.humanoid.expert import TouchExpert, field_velocity, side_for
from dualsys.sim_envs.humanoid.robot import HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M, BLOCK_TOP_M
from dualsys.sim_envs.humanoid.touch import HumanoidTouch
from dualsys.sim_envs.options import EnvironmentOptions

EPISODES = 12


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidTouch]:
    environment = HumanoidTouch(EnvironmentOptions(images="on-demand"))
    yield environment
    environment.close()


class Misjudged:
    """The task seen with an error in where the named block is."""

    def __init__(self, environment: HumanoidTouch, error_m: FloatArray) -> None:
        self.model, self.control_dt_s = environment.model, environment.control_dt_s
        self.observe = environment.observe
        self._environment, self._error_m = environment, error_m

    def privileged(self) -> dict[str, Any]:
        facts = self._environment.privileged()
        return {**facts, "target_position": facts["target_position"] + self._error_m}


def successes(
    environment: HumanoidTouch, *, error_m: float = 0.0, spread_rad: float = 0.1, push_rad: float = 0.0
) -> int:
    count = 0
    for seed in range(8000, 8000 + EPISODES):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * np.pi)
        environment.reset(seed=seed, options={"posture_spread_rad": spread_rad})
        task = Misjudged(environment, error_m * np.array([np.cos(angle), np.sin(angle), 0.0]))
        expert = TouchExpert(task)
        ended, step, push = False, 0, np.zeros(28)
        while not ended:
            if step % 15 == 0:
                push[:14] = rng.uniform(-push_rad, push_rad, 14)
            strength = np.sin(np.pi * (step % 15) / 15)
            *_, terminated, truncated, _ = environment.step(expert.act(task) + push * strength)
            ended, step = terminated or truncated, step + 1
        count += environment.success
    return count


def test_the_expert_touches_the_named_block(env: HumanoidTouch) -> None:
    assert successes(env) == EPISODES


@pytest.mark.slow
def test_it_does_with_two_centimetres_of_aim_error(env: HumanoidTouch) -> None:
    assert successes(env, error_m=0.02) == EPISODES


@pytest.mark.slow
def test_it_does_from_odd_postures_and_when_pushed(env: HumanoidTouch) -> None:
    assert successes(env, spread_rad=0.2) == EPISODES
    assert successes(env, push_rad=0.08) >= EPISODES - 1


def test_its_targets_keep_within_the_limits_of_the_embodiment(env: HumanoidTouch) -> None:
    embodiment, dt_s = env.embodiment, env.control_dt_s
    for seed in range(8000, 8006):
        env.reset(seed=seed)
        expert = TouchExpert(env)
        rows = [env.observe().state, env.observe().state]
        ended = False
        while not ended:
            rows.append(expert.act(env))
            *_, terminated, truncated, _ = env.step(rows[-1])
            ended = terminated or truncated
        targets = np.array(rows)
        velocity = np.diff(targets, axis=0) / dt_s
        acceleration = np.diff(velocity, axis=0) / dt_s
        assert np.all((targets >= embodiment.lower) & (targets <= embodiment.upper))
        assert np.all(np.abs(velocity) <= embodiment.max_velocity)
        assert np.all(np.abs(acceleration) <= embodiment.max_acceleration)


def test_the_hand_of_the_blocks_side_moves_and_the_other_stays(env: HumanoidTouch) -> None:
    env.reset(seed=8000)
    side = side_for(env.privileged()["target_position"])
    resting = slice(7, 14) if side == "left" else slice(0, 7)
    expert = TouchExpert(env)
    for _ in range(50):
        row = expert.act(env)
        env.step(row)
    assert np.abs(row - HOME)[resting].max() < 0.03
    assert np.abs(row - HOME)[:14].max() > 0.3


def test_after_a_touch_it_stays_put(env: HumanoidTouch) -> None:
    env.reset(seed=8000)
    expert = TouchExpert(env)
    while not env.success:
        env.step(expert.act(env))
    for _ in range(5):
        env.step(expert.act(env))
    rows = [expert.act(env) for _ in range(5)]
    assert np.ptp(rows, axis=0).max() < 1e-9


def test_an_episode_is_the_same_whatever_the_expert_did_before(env: HumanoidTouch) -> None:
    expert = TouchExpert(env)
    rows = []
    for _ in range(2):
        env.reset(seed=8001)
        expert.reset()
        for _ in range(30):
            row = expert.act(env)
            env.step(row)
        rows.append(row)
    assert np.array_equal(rows[0], rows[1])


coordinates = st.tuples(st.floats(0.1, 0.5), st.floats(-0.4, 0.4), st.floats(0.75, 1.1))


@given(point=coordinates)
def test_the_field_is_bounded_and_points_at_the_block(point: tuple[float, float, float]) -> None:
    target = np.array([0.32, 0.1, BLOCK_REST_M])
    velocity = field_velocity(np.array(point), target)
    assert np.hypot(velocity[0], velocity[1]) <= expert_module.CRUISE_M_S + 1e-9
    assert abs(velocity[2]) <= expert_module.DESCENT_M_S + 1e-9
    assert velocity[:2] @ (target[:2] - point[:2]) >= 0


def test_low_beside_the_blocks_the_field_goes_up_before_it_goes_along() -> None:
    velocity = field_velocity(np.array([0.2, 0.25, BLOCK_TOP_M]), np.array([0.35, 0.05, BLOCK_REST_M]))
    assert np.hypot(velocity[0], velocity[1]) == 0
    assert velocity[2] > 0.05
