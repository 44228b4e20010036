import hashlib
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dualsys.errors import ConfigError, InvalidObservation, SpecMismatch
from dualsys.messages import FloatArray
from dualsys.protocols import Environment
from dualsys.sim_envs.dm_control_suite import SUITE, DMControlEnvironment
from dualsys.sim_envs.options import EnvironmentOptions

WITHOUT_IMAGES = EnvironmentOptions(images="on-demand", image_size=48)


def make(task: str, options: EnvironmentOptions = WITHOUT_IMAGES) -> DMControlEnvironment:
    return SUITE.make(f"dm_control/{task}", options)


def rollout_digest(task: str, seed: int, *, steps: int = 20, earlier_seed: int | None = None) -> str:
    """Digest of all states, rewards and one picture of a random rollout."""
    environment = make(task)
    if earlier_seed is not None:
        environment.reset(seed=earlier_seed)
        environment.step(environment.embodiment.upper.clip(-1, 1))
    digest = hashlib.sha256()
    digest.update(environment.reset(seed=seed)[0]["state"].tobytes())
    rng = np.random.default_rng(0)
    for _ in range(steps):
        observation, reward, *_ = environment.step(rng.uniform(-1, 1, environment.embodiment.num_actions))
        digest.update(observation["state"].tobytes())
        digest.update(np.float64(reward).tobytes())
    digest.update(environment.render().tobytes())
    environment.close()
    return digest.hexdigest()


def test_there_are_all_51() -> None:
    names = SUITE.tasks()
    assert len(names) == len(set(names)) == 51
    assert {"dm_control/walker-walk", "dm_control/humanoid_CMU-run", "dm_control/lqr-lqr_6_2"} <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize("domain", sorted({name.split("/")[1].split("-")[0] for name in SUITE.tasks()}))
def test_every_task_loads_steps_and_renders(domain: str) -> None:
    for name in SUITE.tasks():
        if not name.startswith(f"dm_control/{domain}-"):
            continue
        environment = make(name.removeprefix("dm_control/"))
        assert isinstance(environment, Environment)
        environment.reset(seed=3)
        step = environment.step(environment.action_space.sample().clip(-1, 1))
        assert environment.observation_space.contains(step[0])
        environment.embodiment.check_observation(environment.observe())
        assert environment.render().std() > 1, "the picture is blank"
        environment.close()


# The recommendation is about policies that sample a normal distribution.
@pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric and normalized space:UserWarning")
@pytest.mark.parametrize("images", ["observation", "on-demand"])
@pytest.mark.parametrize("task", ["walker-walk", "lqr-lqr_2_1"])
def test_gymnasium_finds_nothing_wrong(task: str, images: str) -> None:
    environment = make(task, EnvironmentOptions(images=images, image_size=48))  # type: ignore[arg-type]
    check_env(environment, skip_render_check=True)  # its render check needs a gymnasium registration


@pytest.mark.parametrize("task", ["cheetah-run", "lqr-lqr_6_2", "quadruped-escape"])
def test_same_seed_same_bits_whatever_came_before(task: str) -> None:
    assert rollout_digest(task, 7) == rollout_digest(task, 7, earlier_seed=1)
    assert rollout_digest(task, 7) != rollout_digest(task, 8)


def test_same_seed_same_bits_in_another_process() -> None:
    program = f"import runpy; print(runpy.run_path({__file__!r})['rollout_digest']('walker-walk', 5))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == rollout_digest("walker-walk", 5)


def test_episodes_without_a_seed_differ() -> None:
    environment = make("walker-walk")
    first, _ = environment.reset()
    second, _ = environment.reset()
    assert not np.array_equal(first["state"], second["state"])


def test_episode_is_truncated_after_1000_steps_then_needs_a_reset() -> None:
    environment = make("lqr-lqr_2_1")
    environment.reset(seed=0)
    rest = np.zeros(environment.embodiment.num_actions)
    ends = [environment.step(rest)[2:4] for _ in range(3)]
    assert ends == [(False, False)] * 3
    for _ in range(996):
        environment.step(rest)
    assert environment.step(rest)[2:4] == (False, True)
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.step(rest)


@pytest.mark.parametrize(("task", "solved"), [("ball_in_cup-catch", True), ("cartpole-balance", False)])
def test_success_is_a_return_of_800(task: str, solved: bool) -> None:
    """At rest, the ball of seed 0 falls into the cup, and the pole falls over."""
    environment = make(task)
    environment.reset(seed=0)
    total, rest = 0.0, np.zeros(environment.embodiment.num_actions)
    for _ in range(1000):
        _, reward, _, _, info = environment.step(rest)
        total += reward
        assert info["success"] == environment.success == (total >= 800.0)
    assert environment.success == solved


def test_an_image_not_read_in_time_is_refused() -> None:
    environment = make("walker-walk")
    environment.reset(seed=0)
    observation = environment.observe()
    environment.step(np.zeros(6))
    with pytest.raises(InvalidObservation, match="was not read before the environment moved on"):
        observation.images["side"]


@pytest.mark.parametrize("action", [np.zeros(5), np.full(6, np.nan)])
def test_a_wrong_action_is_refused(action: FloatArray) -> None:
    environment = make("walker-walk")
    environment.reset(seed=0)
    with pytest.raises(SpecMismatch, match="takes 6 finite numbers"):
        environment.step(action)


def test_another_rate_than_the_tasks_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="walker-walk is controlled at 40 Hz, not at 50: give that: --control-hz 40"):
        make("walker-walk", EnvironmentOptions(control_hz=50.0))
    assert make("walker-walk", EnvironmentOptions(control_hz=40.0)).control_dt_s == pytest.approx(0.025)


def test_an_unknown_task_is_refused_with_the_closest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown task 'dm_control/walker-wlak'\. Did you mean 'dm_control/walker-walk'"
    ):
        make("walker-wlak")
