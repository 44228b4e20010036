"""gymnasium-robotics' Fetch behind our interface: its numbers to the bit, its judgement, our pictures."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.app.workplace import shown_tasks
from dualsys.errors import ConfigError, ExtraMissing
from dualsys.protocols import Mirrored, Perturbable, Privileged, Rendered, Rewindable
from dualsys.sim_envs.fetch.arm import _environment_class
from dualsys.sim_envs.fetch.suite import SUITE
from dualsys.testing import check_environment, check_expert


def make(task: str) -> Any:
    return sim_envs.make(f"fetch/{task}", images="on-demand", image_size=48)


@pytest.mark.parametrize("task", SUITE.tasks())
def test_tasks_conform(task: str) -> None:
    environment = sim_envs.make(task, image_size=32)
    for protocol in (Mirrored, Perturbable, Privileged, Rendered, Rewindable):
        assert isinstance(environment, protocol)
    check_environment(environment, steps=5)
    check_environment(sim_envs.make(task, images="on-demand"), steps=40)


@pytest.mark.parametrize("name", ["reach", "pick-and-place", "slide"])
def test_observations_and_rewards_are_the_package_s_to_the_bit(name: str) -> None:
    ours, theirs = make(name), _environment_class(name)()
    for seed in (11, 4):
        expected, _ = theirs.reset(seed=seed)
        ours.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(50):
            facts, seen = ours.privileged(), expected["observation"]
            assert np.array_equal(facts["target_position"], expected["desired_goal"])
            assert np.array_equal(facts["achieved_position"], expected["achieved_goal"])
            whole = seen if name == "reach" else np.concatenate([seen[:3], seen[9:11], seen[20:]])
            assert np.array_equal(ours.observe().state, whole)
            if name != "reach":
                assert np.array_equal(facts["object"], np.concatenate([seen[3:9], seen[11:20]]))
            action = rng.uniform(-1, 1, 4)
            expected, reward, *_, said = theirs.step(action)
            _, got, terminated, _, info = ours.step(action)
            assert got == reward
            assert info["success"] == bool(said["is_success"])
            assert not terminated


def test_success_is_of_the_present_moment_and_an_episode_has_its_50_steps() -> None:
    ours = make("reach")
    ours.reset(seed=0)
    expert = registry.load("experts", "fetch")(ours)
    ends = [ours.step(expert.act())[2:4] for _ in range(30)]
    assert ours.success
    assert not any(any(end) for end in ends)
    for step in range(30, 50):
        *_, terminated, truncated, _ = ours.step(np.array([-1.0, -1.0, 1.0, 0.0]))
        assert (terminated, truncated) == (False, step == 49)
    assert not ours.success


def test_the_goal_is_drawn_where_it_is_and_nothing_else_changes() -> None:
    ours = make("pick-and-place")
    pictures = []
    for seed in (0, 1):
        ours.reset(seed=seed)
        _, data = ours.simulation()
        np.testing.assert_allclose(data.site("target0").xpos, ours.privileged()["target_position"], atol=1e-12)
        pictures.append(ours.render())
        ours.step(np.zeros(4))
        np.testing.assert_allclose(data.site("target0").xpos, ours.privileged()["target_position"], atol=1e-9)
    red = [(image[..., 0] > 150) & (image[..., 1] < 80) for image in pictures]
    assert all(mask.any() for mask in red)
    assert not np.array_equal(red[0], red[1])
    ours.close()


def test_another_one_can_mirror_it() -> None:
    ours, mirror = make("push"), make("push")
    for environment in (ours, mirror):
        environment.reset(seed=5)
    before = mirror.render().astype(float)
    for _ in range(10):
        ours.step(np.array([1.0, 0.5, -1.0, 0.0]))
    mirror.set_state(ours.physics_state())
    there, here = mirror.render().astype(float), ours.render().astype(float)
    assert np.abs(there - here).mean() < 0.1 * np.abs(before - here).mean()  # 2 ms of motion are between them
    np.testing.assert_allclose(mirror.observe().state[:5], ours.observe().state[:5], atol=0.005)
    ours.close()
    mirror.close()


@pytest.mark.parametrize("name", ["reach", "push", "pick-and-place"])
def test_experts_solve_it_again_and_again(name: str) -> None:
    environment = make(name)
    expert = registry.load("experts", "fetch")
    check_expert(expert, environment, seed=1)
    solved = 0
    for seed in range(100, 110):
        environment.reset(seed=seed)
        acting = expert(environment)
        for _ in range(50):
            environment.step(acting.act())
        solved += environment.success
    assert solved >= 9


def test_nobody_slides() -> None:
    assert shown_tasks(SUITE.tasks()) == ("fetch/pick-and-place", "fetch/push", "fetch/reach")
    with pytest.raises(ConfigError, match="nobody demonstrates fetch/slide, only fetch/pick-and-place"):
        registry.load("experts", "fetch")(make("slide"))


def test_unknown_tasks_and_lists_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'fetch/reach'"):
        sim_envs.make("fetch/reeach")
    with pytest.raises(ConfigError, match="lists none: leave it out"):
        make("push").reset(seed=0, options={"initial_state": 0})


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[fetch\]'"):
        make("push")


def test_the_package_s_news_are_not_printed() -> None:
    program = "from dualsys import sim_envs; sim_envs.make('fetch/reach')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
