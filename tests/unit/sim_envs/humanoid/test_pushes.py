"""Pushes that a task itself applies."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dualsys.sim_envs.humanoid.layout import draw_episode
from dualsys.sim_envs.humanoid.pushes import ARM_PUSHES, TORSO_PUSHES, PushRanges, draw_pushes, pushed_by
from tests.unit.sim_envs.humanoid.playing import make_table

RANGES = (ARM_PUSHES, TORSO_PUSHES)


@pytest.mark.parametrize("ranges", RANGES, ids=["arms", "torso"])
def test_each_window_has_one_push_as_long_and_as_strong_as_said(ranges: PushRanges) -> None:
    pushes = draw_pushes(np.random.default_rng(5), ranges)
    for window in range(20):
        times = window * ranges.every_s + np.arange(0.0, ranges.every_s, 0.002)
        found = [push for time_s in times if (push := pushes.at(float(time_s))) is not None]
        assert len(found) * 0.002 == pytest.approx(ranges.lasts_s, abs=0.0021)
        bodies, forces = {body for body, _ in found}, np.array([force for _, force in found])
        assert len(bodies) == 1
        assert bodies <= set(ranges.bodies)
        assert np.all(forces == forces[0])
        assert ranges.newtons[0] <= np.linalg.norm(forces[0]) <= ranges.newtons[1]
        assert (forces[0][2] == 0) == ranges.level


def test_the_seed_draws_them_for_the_task_that_has_them() -> None:
    one, same, other = (draw_episode(seed, task="reach-and-hold").pushes for seed in (7, 7, 8))
    assert one is not None
    assert same is not None
    assert other is not None
    assert np.array_equal(one.force_n, same.force_n)
    assert not np.array_equal(one.force_n, other.force_n)
    assert draw_episode(7, task="point").pushes is None


def test_a_push_acts_beside_the_forces_of_others_and_leaves_them() -> None:
    pushes = draw_pushes(np.random.default_rng(1), TORSO_PUSHES)
    time_s = float(pushes.begins_s[0]) + 0.01
    model: Any = SimpleNamespace(body=lambda name: SimpleNamespace(id=1))
    data: Any = SimpleNamespace(time=time_s, xfrc_applied=np.full((2, 6), 0.1))
    with pushed_by(pushes, model, data):
        assert np.array_equal(data.xfrc_applied[1, :3], 0.1 + pushes.force_n[0])
    assert np.all(data.xfrc_applied == 0.1)
    data.time = 0.0 if pushes.begins_s[0] > 0 else 1.9
    with pushed_by(pushes, model, data):
        assert np.all(data.xfrc_applied == 0.1)


def test_a_hand_over_the_block_is_pushed_off_its_place() -> None:
    env = make_table("reach-and-hold")
    env.reset(seed=8000)
    home = env.privileged()["home"]
    moved = []
    for _ in range(100):
        env.step(home)
        moved.append(np.abs(env.observe().state - home)[:14].max())
    env.close()
    assert max(moved) > 0.03, "rad"
