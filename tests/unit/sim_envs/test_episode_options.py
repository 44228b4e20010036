"""What a benchmark asks of an environment beside its task: horizons, settling, turned images, kinds of reset."""

from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.messages import ImageArray
from dualsys.sim_envs.images import turned
from dualsys.sim_envs.options import EnvironmentOptions

TASKS = ("humanoid/touch", "dm_control/cartpole-balance")
LONG = {"humanoid/touch": 500, "dm_control/cartpole-balance": 1003}
"""Steps beyond a task's own limit."""


def rest(environment: Any) -> Any:
    embodiment = environment.embodiment
    return np.clip(embodiment.position_in(environment.observe().state), embodiment.lower, embodiment.upper)


def steps_until_over(environment: Any) -> int:
    environment.reset(seed=0)
    action = rest(environment)
    for step in range(1, 2000):
        _, _, terminated, truncated, _ = environment.step(action)
        assert not terminated
        if truncated:
            return step
    raise AssertionError("it never ended")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("steps", [1, 7])
def test_an_episode_is_as_long_as_was_asked_for(task: str, steps: int) -> None:
    environment = sim_envs.make(task, images="on-demand", episode_steps=steps)
    assert steps_until_over(environment) == steps
    environment.close()


@pytest.mark.parametrize("task", TASKS)
def test_it_may_be_longer_than_the_tasks_own_limit(task: str) -> None:
    environment = sim_envs.make(task, images="on-demand", episode_steps=LONG[task])
    assert steps_until_over(environment) == LONG[task]
    environment.close()


@pytest.mark.parametrize("task", TASKS)
def test_settling_is_the_same_as_resting_before_the_clock_starts(task: str) -> None:
    settled = sim_envs.make(task, images="on-demand", settle_steps=5, episode_steps=20)
    stepped = sim_envs.make(task, images="on-demand")
    settled.reset(seed=3)
    stepped.reset(seed=3)
    resting = rest(stepped) if task.startswith("humanoid") else np.zeros(stepped.embodiment.num_actions)
    for _ in range(5):
        stepped.step(resting)
    assert settled.observe().stamp_s == 0.0
    assert np.array_equal(settled.observe().state, stepped.observe().state)
    assert steps_until_over(settled) == 20
    for environment in (settled, stepped):
        environment.close()


def test_settling_again_gives_the_same_bits() -> None:
    environment = sim_envs.make("humanoid/touch", images="on-demand", settle_steps=5)
    states = []
    for _ in range(2):
        environment.reset(seed=3)
        states.append(environment.observe().state)
    assert np.array_equal(states[0], states[1])
    environment.close()


@pytest.mark.parametrize("task", TASKS)
def test_only_the_policys_images_are_turned(task: str) -> None:
    seen: dict[str, ImageArray] = {}
    for turn in ("none", "half", "upside-down"):
        environment: Any = sim_envs.make(task, image_size=24, image_turn=turn)
        observation, _ = environment.reset(seed=0)
        (camera,) = observation["images"]
        assert np.array_equal(observation["images"][camera], environment.observe().images[camera])
        assert np.array_equal(environment.render_camera(camera), seen.get("none", environment.render_camera(camera)))
        seen[turn] = observation["images"][camera]
        environment.close()
    assert np.array_equal(seen["half"], seen["none"][::-1, ::-1])
    assert np.array_equal(seen["upside-down"], seen["none"][::-1])
    assert not np.array_equal(seen["none"], seen["half"])


def test_a_turn_is_its_own_inverse() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    assert turned(picture, "none") is picture
    for turn in ("half", "upside-down"):
        once = turned(picture, turn)
        assert once.flags.c_contiguous
        assert np.array_equal(turned(once, turn), picture)


@pytest.mark.parametrize("task", TASKS)
def test_a_kind_of_reset_that_a_task_does_not_know_is_refused(task: str) -> None:
    with pytest.raises(ConfigError, match=rf"{task} takes no reset_kind='soft': .*; leave reset_kind out"):
        sim_envs.make(task, reset_kind="soft")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_without_a_list_of_starts_says_so(task: str) -> None:
    environment: Any = sim_envs.make(task, images="on-demand")
    assert environment.initial_states == 0
    with pytest.raises(ConfigError, match="initial_state"):
        environment.reset(seed=0, options={"initial_state": 0})
    environment.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"episode_steps": 0}, "episode_steps=0"),
        ({"settle_steps": -1}, "settle_steps=-1"),
        ({"image_turn": "left"}, "image_turn='left'"),
        ({"reset_kind": "warm"}, "reset_kind='warm'"),
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        EnvironmentOptions(**wrong)


@pytest.mark.parametrize("task", [*TASKS, "humanoid/stand", "aloha/transfer-cube", "metaworld/push-v3", "fetch/reach"])
def test_pictures_may_be_wider_than_high(task: str) -> None:
    """A square one is the middle of it: MuJoCo's angle of view is from top to bottom."""
    wide: Any = sim_envs.make(task, image_size=(24, 40))
    square: Any = sim_envs.make(task, image_size=24)
    (camera,) = wide.embodiment.cameras
    assert (camera.height, camera.width) == (24, 40)
    seen, _ = wide.reset(seed=2)
    assert wide.observation_space.contains(seen)
    picture = wide.observe().images[camera.name]
    assert picture.shape == (24, 40, 3)
    square.reset(seed=2)
    middle = picture[:, 8:32].astype(int) - square.observe().images[camera.name]
    assert np.abs(middle).max() <= 2, "rounding of colours at most"
    for environment in (wide, square):
        environment.close()


@pytest.mark.parametrize("wrong", [(0, 24), (24,), (24, 24, 3)])
def test_sizes_that_mean_nothing_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="image_size="):
        sim_envs.make("humanoid/touch", image_size=wrong)
