"""A plain gymnasium loop: our tasks by gymnasium's names, our controller in it."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import dualsys
from dualsys import sim_envs
from dualsys.app.rollout import run_episode
from dualsys.errors import ConfigError
from dualsys.sim_envs.gymnasium_ids import gymnasium_id, register_all


def test_every_task_has_a_name_of_its_own() -> None:
    ids = register_all()
    assert len(set(ids)) == len(ids) >= 57
    assert set(ids) <= set(gymnasium.registry)
    assert gymnasium_id("humanoid/touch") == "dualsys/humanoid-touch-v0"
    assert gymnasium_id("metaworld/pick-place-v3") == "dualsys/metaworld-pick-place-v3"


def test_gymnasium_makes_them_with_our_options() -> None:
    with gymnasium.make("dualsys.sim_envs.gymnasium_ids:dualsys/dm_control-cartpole-balance-v0", image_size=32) as made:
        observation, info = made.reset(seed=3)
        assert made.observation_space.contains(observation)
        assert observation["images"]["fixed"].shape == (32, 32, 3)
        assert "success" in info
        made.step(made.action_space.sample())
        assert made.render().shape == (32, 32, 3)  # type: ignore[union-attr]
        assert made.unwrapped.instruction == "cartpole: balance"  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="rgb_array"):
        gymnasium.make("dualsys/dm_control-cartpole-balance-v0", render_mode="human")


def test_what_is_perturbed_is_so_in_a_loop_of_gymnasiums() -> None:
    """And not what lies beneath: `unwrapped` is what the documented loop asks."""
    name = "dualsys/dm_control-cartpole-balance-v0"
    made = gymnasium.make(name, image_size=32, perturbations=("sensor-noise:severe", "friction:mild"))
    plain = gymnasium.make(name, image_size=32)
    seen, info = made.reset(seed=3)
    expected, _ = plain.reset(seed=3)
    task: Any = made.unwrapped
    assert "perturbed.friction.factor" in info
    np.testing.assert_array_equal(task.observe().state, seen["state"])
    assert not np.allclose(seen["state"], expected["state"])
    assert made.spec is not None
    assert made.spec.id == name
    made.close()
    plain.close()


@pytest.mark.slow
def test_a_controller_in_a_plain_loop_does_what_it_does_in_ours() -> None:
    environment = gymnasium.make("dualsys/humanoid-touch-v0", images="on-demand")
    task = environment.unwrapped
    with dualsys.Controller.from_checkpoint("humanoid-table") as controller:
        environment.reset(seed=8000)
        controller.reset(seed=8000)
        reward, over = 0.0, False
        while not over:
            command = controller.step(task.observe())  # type: ignore[attr-defined]
            _, gained, terminated, truncated, _ = environment.step(command.target)
            reward, over = reward + float(gained), terminated or truncated
        state = task.observe().state  # type: ignore[attr-defined]
        success = task.success  # type: ignore[attr-defined]
        environment.close()
        ours = sim_envs.make("humanoid/touch", images="on-demand")
        result = run_episode(ours, controller, 8000)
        assert (result.success, result.reward) == (success, reward)
        np.testing.assert_array_equal(ours.observe().state, state)
        ours.close()
