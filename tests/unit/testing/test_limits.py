"""Commands outside the limits are counted, and only those."""

import numpy as np
import pytest

from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.messages import Command
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig
from dualsys.testing import fake_embodiment
from dualsys.testing.limits import check_limits

ARM = fake_embodiment(1)  # -1 to 1 rad, 2 rad/s, 20 rad/s^2
DT_S = 0.01


def lines(*targets: float, source: str = "actor") -> list[dict[str, object]]:
    return [{"target": [target], "source": source} for target in targets]


@pytest.mark.parametrize(
    ("targets", "outside"),
    [
        ([0.0, 0.002, 0.006, 0.01], 0),  # 0.2, 0.4, 0.4 rad/s: each change 20 rad/s^2 at most
        ([0.0, 0.003], 1),  # 30 rad/s^2
        ([1.001, 1.001], 2),
        ([0.0, float("nan")], 1),
        ([], 0),
    ],
)
def test_what_is_outside_is_counted(targets: list[float], outside: int) -> None:
    kept = check_limits(lines(*targets), ARM, DT_S)
    assert (kept.commands, kept.outside) == (len(targets), outside)


def test_an_episode_begins_at_rest_wherever_it_is() -> None:
    episode = {"kind": "episode", "number": 1}
    commands = [episode, *lines(0.0, source="start"), *lines(0.002), episode, *lines(0.5, 0.5), *lines(0.502)]
    kept = check_limits(commands, ARM, DT_S)
    assert kept.outside == 0
    assert kept.largest_acceleration == pytest.approx(1.0)
    assert kept.largest_velocity == pytest.approx(0.1)


def test_a_step_to_another_source_is_looked_at_and_a_robot_that_was_moved_is_not() -> None:
    """Sources go over into `start` when they are released, and after a stop: only an episode begins elsewhere."""
    before, after = lines(0.0, source="teleoperation"), lines(0.5, 0.5, source="start")
    assert check_limits([*before, *after], ARM, DT_S).outside == 2  # out of nowhere, and to a standstill
    assert check_limits([*before, {"kind": "stop_reset", "moved": False}, *after], ARM, DT_S).outside == 2
    assert check_limits([*before, {"kind": "stop_reset", "moved": True}, *after], ARM, DT_S).outside == 0
    assert check_limits([*before, {"kind": "fault"}], ARM, DT_S).commands == 1


def test_jerk_is_looked_at_where_there_are_limits_of_it() -> None:
    joint = Joint(name="turn", lower=-1, upper=1, max_velocity=2, max_acceleration=20, max_jerk=1000)
    arm = EmbodimentSpec(name="arm", joints=(joint,), state_names=("turn",))
    kept = check_limits(lines(0.0, 0.001, 0.002), arm, DT_S)
    assert kept.outside == 0
    assert kept.largest_jerk == pytest.approx(1.0)
    assert check_limits(lines(0.0, 0.001, 0.0015), arm, DT_S).outside == 1  # from 10 to -5 rad/s^2 in 10 ms
    assert check_limits(lines(0.0, 0.0015), ARM, DT_S).largest_jerk == 0.0


def test_what_the_gate_lets_through_is_inside() -> None:
    gate, rng = SafetyGate(ARM, DT_S, SafetyConfig()), np.random.default_rng(0)
    gate.reset(np.zeros(1))
    commands = lines(0.0, source="start")
    for index in range(500):
        wild = Command(target=rng.normal(0, 3, 1), stamp_s=index * DT_S, source="actor")
        commands += lines(float(gate.limit(wild).target[0]))
    kept = check_limits(commands, ARM, DT_S)
    assert kept.outside == 0
    assert kept.largest_acceleration > 0.9
