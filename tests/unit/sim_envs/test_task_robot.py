"""A robot that moves with its clock: the same motion as the task's own steps, however it is asked."""

from typing import Any

import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.clock import SimulatedClock
from dualsys.messages import Command, FloatArray
from dualsys.protocols import Robot
from dualsys.sim_envs.task_robot import MAX_LAG_S, TaskRobot
from dualsys.testing import check_robot

TASK = "humanoid/touch"


def command(target: FloatArray, stamp_s: float) -> Command:
    return Command(target=target, stamp_s=stamp_s, source="actor")


def test_it_is_found_by_name_and_conforms() -> None:
    robot: Robot = registry.load("robots", "simulated")(control_hz=50.0)
    check_robot(robot)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(100.0)


def test_time_passes_under_the_last_target(clock: SimulatedClock) -> None:
    """Called at odd times, it is where the task is after as many steps as fit into the time that has passed."""
    robot = TaskRobot(TASK, seed=3, control_hz=50.0, clock=clock)
    twin = sim_envs.make(TASK, seed=3, control_hz=50.0, images="on-demand")
    twin.reset(seed=3)
    still = twin.embodiment.position_in(twin.observe().state)
    target = still + 0.05
    clock.sleep_until_s(100.045)  # two whole steps at rest
    robot.command(command(target, 100.045))
    clock.sleep_until_s(100.139)  # four more under the target
    seen = robot.observe()
    for wanted in [still] * 2 + [target] * 4:
        twin.step(wanted)
    assert np.array_equal(seen.state, twin.observe().state)
    assert seen.stamp_s == pytest.approx(100.12)
    assert seen.images["head"].shape == (96, 96, 3)
    robot.close()
    twin.close()


def test_a_long_silence_is_not_made_up_for_at_once(clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = TaskRobot(TASK, control_hz=50.0, clock=clock)
    environment: Any = robot._environment
    steps: list[FloatArray] = []

    def step(target: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        steps.append(target)
        return {}, 0.0, False, False, {}

    monkeypatch.setattr(environment, "step", step)
    clock.sleep_until_s(160.0)
    assert robot.observe().stamp_s == pytest.approx(160.0)
    assert robot.seconds_lost == pytest.approx(60.0 - MAX_LAG_S)
    assert len(steps) == round(MAX_LAG_S * 50)
    robot.close()


def test_an_episode_that_has_ended_leaves_it_standing(clock: SimulatedClock) -> None:
    robot = TaskRobot(TASK, control_hz=50.0, clock=clock)
    for _ in range(20):
        clock.sleep_until_s(clock.now_s() + 0.5)
        before = robot.observe()
    assert robot.is_over
    assert not robot.success
    clock.sleep_until_s(clock.now_s() + 0.5)
    assert np.array_equal(robot.observe().state, before.state)
    assert robot.observe().stamp_s > before.stamp_s
    robot.close()
