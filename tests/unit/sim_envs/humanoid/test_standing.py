"""The robot that stands free: its balance by linear feedback, and the same robot in a fixed posture."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dualsys.errors import ConfigError, SpecMismatch
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.balance import Balance, regulator_gain
from dualsys.sim_envs.humanoid.pushes import TORSO_PUSHES
from dualsys.sim_envs.humanoid.robot import JOINT_NAMES as UPPER_JOINTS
from dualsys.sim_envs.humanoid.stand import HumanoidStand
from dualsys.sim_envs.humanoid.stand_expert import StandExpert
from dualsys.sim_envs.humanoid.whole_body import JOINT_NAMES, UPPER, stance
from dualsys.sim_envs.options import EnvironmentOptions

HARD_SEEDS = (8000, 8002)
"""Of episodes in which a fixed posture falls."""


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidStand]:
    environment = HumanoidStand(EnvironmentOptions(images="on-demand"))
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def balance(env: HumanoidStand) -> Balance:
    return StandExpert(env).balance


def play(env: HumanoidStand, seed: int, act: Callable[[], FloatArray]) -> dict[str, object]:
    env.reset(seed=seed)
    while True:
        *_, terminated, truncated, info = env.step(act())
        if terminated or truncated:
            return info


def at_home(env: HumanoidStand) -> FloatArray:
    home: FloatArray = env.privileged()["home"]
    return home


def test_the_last_joints_are_those_of_the_upper_body_in_its_order() -> None:
    assert JOINT_NAMES[UPPER] == UPPER_JOINTS
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == 43


def test_a_cart_with_unit_mass_gets_the_gain_of_the_textbook() -> None:
    """Of x+ = x + u with costs 1 and 1 the Riccati equation has the golden ratio as its answer."""
    one = np.ones((1, 1))
    gain = regulator_gain(one, one, one, 1.0)
    assert gain[0, 0] == pytest.approx((np.sqrt(5) - 1) / 2, abs=1e-9)


def test_the_feedback_makes_all_of_standing_stable_but_where_on_the_floor(balance: Balance) -> None:
    loose = np.sort(np.abs(np.linalg.eigvals(balance.transition - balance.effect @ balance.gain)))
    assert np.all(loose[:-3] < 0.9999)
    assert loose[-3:] == pytest.approx(1.0, abs=1e-4), "two directions and a heading, which joints do not change"
    assert np.abs(balance.gain[:, :2]).max() < 1e-4, "and which nobody heeds"


def test_at_rest_it_commands_the_stance(env: HumanoidStand, balance: Balance) -> None:
    resting = balance.deviation(balance._rest, np.zeros(env.model.nv))
    assert resting == pytest.approx(np.zeros(2 * env.model.nv), abs=1e-12)
    assert balance.command(balance._rest, np.zeros(env.model.nv)) == pytest.approx(stance(), abs=1e-9)


def test_a_body_that_was_pushed_comes_back(env: HumanoidStand, balance: Balance) -> None:
    env.reset(seed=0)
    env.restore(env.snapshot())
    _, data = env.simulation()
    data.qvel[:2] += (0.1, -0.1)
    calm = TORSO_PUSHES.every_s  # at most one push by then
    env._episode.pushes.force_n[:] = 0.0
    while data.time < 2 * calm:
        facts = env.privileged()
        env.step(balance.command(facts["positions"], facts["velocities"]))
    away = balance.deviation(data.qpos, data.qvel)
    assert np.abs(away[3:5]).max() < 0.02, "rad of tilt"
    assert np.linalg.norm(env.privileged()["mass_over_feet_m"] - _at_rest_offset(env)) < 0.005


def _at_rest_offset(env: HumanoidStand) -> FloatArray:
    env.reset(seed=0)
    offset: FloatArray = env.privileged()["mass_over_feet_m"]
    return offset


@pytest.mark.slow
@pytest.mark.parametrize("seed", HARD_SEEDS)
def test_it_stands_where_a_fixed_posture_falls_with_its_arms_and_without(
    env: HumanoidStand, balance: Balance, seed: int
) -> None:
    def legs_alone() -> FloatArray:
        facts = env.privileged()
        return balance.command(facts["positions"], facts["velocities"], upper=facts["home"][UPPER])

    fixed = play(env, seed, lambda: at_home(env))
    assert (fixed["success"], fixed["failure"]) == (False, "fell")
    whole = play(env, seed, StandExpert(env).act)
    assert (whole["success"], whole["failure"]) == (True, None)
    assert whole["time_s"] == pytest.approx(10.0)
    assert play(env, seed, legs_alone)["success"]


def test_arms_are_somebody_elses_if_they_say_so(env: HumanoidStand, balance: Balance) -> None:
    env.reset(seed=1)
    facts = env.privileged()
    velocities = np.full(env.model.nv, 0.05)
    arms = np.zeros(28)
    mine, shared = (balance.command(facts["positions"], velocities, upper=each) for each in (None, arms))
    assert np.array_equal(shared[UPPER], arms)
    assert np.array_equal(shared[: UPPER.start], mine[: UPPER.start])
    assert not np.array_equal(mine[UPPER], arms)


def test_what_it_senses_says_which_way_is_up(env: HumanoidStand) -> None:
    env.reset(seed=3)
    state = dict(zip(env.embodiment.state_names, env.observe().state, strict=True))
    assert (state["up_x"], state["up_y"], state["up_z"]) == pytest.approx((0.0, 0.0, 1.0), abs=0.02)
    _, data = env.simulation()
    data.qpos[3:7] = (np.cos(0.25), 0.0, np.sin(0.25), 0.0)  # bows by half a radian
    state = dict(zip(env.embodiment.state_names, env.observe().state, strict=True))
    assert (state["up_x"], state["up_z"]) == pytest.approx((-np.sin(0.5), np.cos(0.5)))


def test_words_come_from_the_grammar_and_others_are_refused(env: HumanoidStand) -> None:
    held_out = HumanoidStand(EnvironmentOptions(images="on-demand", phrasing="held-out"))
    said = {True: set[str](), False: set[str]()}
    for seed in range(60):
        for which, each in ((True, held_out), (False, env)):
            each.reset(seed=seed)
            said[which].add(each.instruction)
    assert not said[True] & said[False]
    assert min(map(len, said.values())) > 10
    env.reset(seed=0, options={"instruction": "stand on your feet"})
    assert env.instruction == "stand on your feet"
    with pytest.raises(ConfigError, match="it only stands"):
        env.reset(options={"instruction": "dance"})
    with pytest.raises(ConfigError, match="unknown reset option 'posture'"):
        env.reset(options={"posture": 1})


def test_what_it_cannot_take_is_refused(env: HumanoidStand) -> None:
    with pytest.raises(SpecMismatch, match="takes 43 finite joint positions"):
        env.step(np.zeros(28))
    with pytest.raises(ConfigError, match="takes no randomization='wide': it has one look"):
        HumanoidStand(EnvironmentOptions(randomization="wide"))
    with pytest.raises(ConfigError, match="unknown camera 'close'"):
        HumanoidStand(EnvironmentOptions(cameras=("close",)))
