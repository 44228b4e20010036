"""The gate's poses, stops and jerk windows, each on numbers that can be followed on paper."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dualsys.braking import stopping_steps, stopping_velocity
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import ConfigError
from dualsys.jerk_filter import JerkFilter
from dualsys.messages import Command, CommandSource
from dualsys.motion_limits import MotionLimits
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
"""Up to 1 rad, 2 rad/s and 20 rad/s^2 either way."""
DT_S = 0.02


def _gate(**config: Any) -> SafetyGate:
    gate = SafetyGate(ARM, DT_S, SafetyConfig(**config))
    gate.reset(np.zeros(2))
    return gate


def _command(source: CommandSource, target: Any = (0.0, 0.0)) -> Command:
    limited = ("stale",) if source in ("hold", "damp") else ()
    return Command(target=np.array(target), stamp_s=0.0, source=source, limited=limited)


def test_joints_arrive_together_along_a_path_and_not_without() -> None:
    ways = {}
    for follow in ("path", "joint"):
        gate = _gate(follow=follow)
        ways[follow] = np.array([gate.apply(np.array([0.8, 0.2]))[0] for _ in range(40)])
    np.testing.assert_allclose(ways["path"][:, 0], 4 * ways["path"][:, 1], atol=1e-12)
    np.testing.assert_allclose(ways["path"][:, 0], ways["joint"][:, 0], atol=1e-12)
    assert np.abs(ways["joint"][:, 0] - 4 * ways["joint"][:, 1]).max() > 0.1


def test_a_target_that_jumps_aside_is_turned_to_by_all_joints_together() -> None:
    """The change of velocity points from the last velocity to the wanted one, as long as accelerations are limited."""
    gate = _gate(follow="path")
    for _ in range(12):
        before = gate.apply(np.array([0.9, 0.0]))[0]
    goal = np.array([before[0], 0.5])
    path = np.array([before, *(gate.apply(goal)[0] for _ in range(100))])
    change = (path[1] - before) / DT_S - [2.0, 0.0]
    np.testing.assert_allclose(np.abs(change).max(), 20 * DT_S)
    wanted = np.array([0.0, change[1] * 2.0 / -change[0]])
    np.testing.assert_allclose(wanted / 2.0, [0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(path[-1], goal, atol=1e-9)


@pytest.mark.parametrize("source", ["damp", "stop"])
def test_damp_stays_where_it_comes_to_rest_while_hold_goes_to_the_last_target(source: CommandSource) -> None:
    gates = {name: _gate() for name in ("hold", source)}
    rest = {}
    for name, gate in gates.items():
        for _ in range(12):
            moving = gate.apply(np.array([0.9, 0.0]))[0]
        for _ in range(60):
            rest[name] = gate.limit(_command(name, [0.9, 0.0])).target
    assert rest[source][0] == pytest.approx(moving[0] + 4.0 * DT_S)
    assert rest["hold"][0] == 0.9


def test_poses_are_gone_to_where_configured() -> None:
    gate = _gate(hold_pose={"joint0": 0.1}, damp_pose={"joint1": -0.2})
    gate.apply(np.array([0.004, 0.0]))
    held = [gate.limit(_command("hold", [0.004, 0.0])).target for _ in range(30)]
    np.testing.assert_allclose(held[-1], [0.1, 0.0])
    damped = [gate.limit(_command("damp")).target for _ in range(30)]
    np.testing.assert_allclose(damped[-1], [0.1, -0.2])
    stopped = [gate.limit(_command("stop")).target for _ in range(30)]
    assert all(np.array_equal(damped[-1], target) for target in stopped), "a stop goes nowhere"
    starved = [Command(target=np.zeros(2), stamp_s=tick * DT_S, source="hold") for tick in range(30)]
    np.testing.assert_allclose([gate.limit(each).target for each in starved][-1], 0.0, atol=1e-12)
    with pytest.raises(ConfigError, match="unknown joint 'joint9'"):
        SafetyGate(ARM, DT_S, SafetyConfig(damp_pose={"joint9": 0.0}))


def test_motion_resumes_from_what_was_sent_where_the_robot_still_is_there() -> None:
    gate = _gate()
    for _ in range(50):
        gate.apply(np.array([0.5, 0.0]))
    np.testing.assert_array_equal(gate.resume(np.array([0.45, 0.02])), [0.5, 0.0])
    np.testing.assert_array_equal(gate.resume(np.array([0.35, 0.02])), [0.35, 0.02])
    np.testing.assert_allclose(gate.apply(np.array([0.35, 0.02]))[0], [0.35, 0.02])


def test_a_jerk_limit_turns_jumps_of_the_acceleration_into_ramps() -> None:
    """20 rad/s^2 at 400 rad/s^3 and 0.02 s: a window of five ticks, so a fifth of the acceleration more each tick."""
    gate = _gate(max_jerk=400.0)
    path = np.array([gate.apply(np.array([1.0, 0.0]))[0][0] for _ in range(60)])
    acceleration = np.diff(np.concatenate([[0.0, 0.0], path]), 2) / DT_S**2
    np.testing.assert_allclose(acceleration[:5], [4, 8, 12, 16, 20])
    assert path[-1] == 1.0
    assert "jerk" in _gate(max_jerk=400.0).apply(np.ones(2))[1]
    assert _gate(max_jerk=1e9).apply(np.array([0.004, 0.0]))[1] == ()


def test_each_joint_has_its_window_and_along_a_path_all_have_the_longest() -> None:
    joints = tuple(
        Joint(name=name, lower=-1, upper=1, max_acceleration=acceleration, max_jerk=jerk)
        for name, acceleration, jerk in (("a", 20.0, 1000.0), ("b", 20.0, None), ("c", None, None))
    )
    arm = EmbodimentSpec(name="arm", joints=joints, state_names=("a", "b", "c"))
    jerk = [MotionLimits.of(arm, DT_S, SafetyConfig(**config)).max_jerk.tolist() for config in _JERK_CONFIGS]
    assert jerk == [[1000.0, np.inf, np.inf], [500.0, 250.0, np.inf]]
    for together, expected in ((False, [0.5, 1.0, 1.0]), (True, [0.5, 0.5, 0.5])):
        easing = JerkFilter(MotionLimits.of(arm, DT_S, SafetyConfig()), together=together)
        easing.reset(np.zeros(3))
        assert easing.ticks == 2
        np.testing.assert_array_equal(easing.apply(np.ones(3)), expected)
        assert not easing.is_settled()
        np.testing.assert_array_equal(easing.apply(np.ones(3)), 1.0)
        assert easing.is_settled()


def test_a_jerk_limit_that_would_have_commands_come_seconds_late_is_refused() -> None:
    with pytest.raises(ConfigError, match="come 200 s late"):
        _gate(max_jerk=0.1)
    assert _gate(max_jerk=5.0)


_JERK_CONFIGS: tuple[dict[str, Any], ...] = ({}, {"max_jerk": 500.0, "jerk_scale": 0.5})


def test_a_jerk_limit_needs_an_acceleration_limit_and_changes_no_fingerprint_where_there_is_none() -> None:
    with pytest.raises(ValidationError, match="a jerk limit needs an acceleration limit"):
        Joint(name="a", lower=-1, upper=1, max_jerk=10.0)
    plain = EmbodimentSpec(name="arm", joints=(Joint(name="a", lower=-1, upper=1),), state_names=("a",))
    assert plain.fingerprint() == "91a46e81c451"
    eased = (Joint(name="a", lower=-1, upper=1, max_acceleration=1.0, max_jerk=1.0),)
    assert plain.model_copy(update={"joints": eased}).fingerprint() != plain.fingerprint()


def test_stopping_steps_are_the_stopping_velocity_in_units_of_a_tick() -> None:
    for way in (0.0, 0.3, 1.0, 2.5, 3.0, 1e6):
        velocity = stopping_velocity(np.array([way * 5.0 * DT_S**2]), np.array([5.0]), DT_S)[0]
        assert stopping_steps(way) == pytest.approx(velocity / (5.0 * DT_S))
