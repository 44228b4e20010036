"""The gate's ways of moving: straight paths, eased jerks, coming to rest. Whatever comes in, all limits are kept."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.messages import Command, CommandSource
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig

LIMITS = st.tuples(
    st.floats(-3, -0.05),
    st.floats(0.05, 3),
    st.floats(0.1, 10) | st.none(),
    st.floats(0.5, 100),
    st.floats(20, 5000) | st.none(),
)
STEPS_S = st.sampled_from([0.001, 0.002, 0.02, 0.1])
FOLLOW = st.sampled_from(["joint", "path"])
WILD = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-4, 4)
SOURCES: st.SearchStrategy[CommandSource] = st.sampled_from(["actor", "actor", "hold", "damp", "stop", "start"])


def _arm(limits: list[Any]) -> EmbodimentSpec:
    joints = tuple(
        Joint(name=f"j{i}", lower=low, upper=high, max_velocity=velocity, max_acceleration=acceleration, max_jerk=jerk)
        for i, (low, high, velocity, acceleration, jerk) in enumerate(limits)
    )
    return EmbodimentSpec(name="arm", joints=joints, state_names=tuple(j.name for j in joints))


def _require_limits(path: np.ndarray[Any, Any], arm: EmbodimentSpec, dt_s: float) -> None:
    """Position, velocity, acceleration and jerk of a path that starts at rest, by discrete differences."""
    assert np.all(np.isfinite(path))
    assert np.all(path <= arm.upper + 1e-9)
    assert np.all(path >= arm.lower - 1e-9)
    at_rest = np.concatenate([np.repeat(path[:1], 3, axis=0), path])
    for order, most in ((1, arm.max_velocity), (2, arm.max_acceleration), (3, arm.max_jerk)):
        rate = np.abs(np.diff(at_rest, order, axis=0)) / dt_s**order
        assert np.all(rate <= most * (1 + 1e-6) + 1e-11 / dt_s**order), f"difference of order {order}"


@settings(max_examples=80)
@given(st.data(), st.lists(LIMITS, min_size=1, max_size=3), STEPS_S, FOLLOW)
def test_any_commands_leave_within_all_limits(data: st.DataObject, limits: Any, dt_s: float, follow: Any) -> None:
    arm = _arm(limits)
    nu = arm.num_actions
    start = arm.lower + data.draw(hnp.arrays(float, nu, elements=st.floats(0, 1))) * (arm.upper - arm.lower)
    odd: Any = st.sampled_from([None, "up", np.zeros(nu + 1), np.array(["a"] * nu), [0.0] * nu])
    draws = data.draw(st.lists(st.tuples(hnp.arrays(float, nu, elements=WILD) | odd, SOURCES), max_size=20))
    repeats = data.draw(st.sampled_from([1, 7, 40]))
    pose = data.draw(st.sampled_from([{}, {"j0": 0.01}]))
    gate = SafetyGate(arm, dt_s, SafetyConfig(follow=follow, hold_pose=pose, damp_pose=pose))
    gate.reset(start)
    path = [start]
    for target, source in [draw for draw in draws for _ in range(repeats)]:
        limited = ("stale",) if source in ("hold", "damp") else ()
        path.append(gate.limit(Command(target=target, stamp_s=0.0, source=source, limited=limited)).target)
    _require_limits(np.stack(path), arm, dt_s)


@settings(max_examples=50)
@given(st.lists(LIMITS, min_size=2, max_size=4), STEPS_S, FOLLOW, st.floats(0.2, 3), st.integers(0, 2**32 - 1))
def test_moving_targets_are_followed_within_all_limits(
    limits: Any, dt_s: float, follow: Any, pace: float, seed: int
) -> None:
    """Targets that keep moving, turn at times, and run into and past the position limits."""
    arm = _arm(limits)
    rng = np.random.default_rng(seed)
    target = (arm.lower + arm.upper) / 2
    speed = pace * np.minimum(arm.max_velocity, 5.0) * rng.choice([-1.0, 1.0], arm.num_actions)
    gate = SafetyGate(arm, dt_s, SafetyConfig(follow=follow))
    gate.reset(target)
    path = [target]
    for _ in range(300):
        speed = np.where(rng.random(arm.num_actions) < 0.02, -speed, speed)
        target = np.clip(target + speed * dt_s, arm.lower - 0.5, arm.upper + 0.5)
        path.append(gate.apply(target)[0])
    _require_limits(np.stack(path), arm, dt_s)


def _off_line(start: Any, end: Any, points: Any) -> Any:
    """Distance of points from the line through two others."""
    along = (end - start) / np.linalg.norm(end - start)
    ways = points - start
    return np.linalg.norm(ways - (ways @ along)[:, None] * along, axis=1)


@settings(max_examples=80)
@given(st.data(), st.lists(LIMITS, min_size=2, max_size=4), STEPS_S)
def test_a_path_to_a_target_is_straight_and_ends_at_it(data: st.DataObject, limits: Any, dt_s: float) -> None:
    """Rest to rest, with jerk limits or without: the command stays on the segment and gets to its end."""
    arm = _arm(limits)
    share = hnp.arrays(float, arm.num_actions, elements=st.floats(0, 1))
    start, end = (arm.lower + data.draw(share) * (arm.upper - arm.lower) for _ in range(2))
    end = np.minimum(end, arm.upper)
    if np.linalg.norm(end - start) < 1e-6:
        return
    gate = SafetyGate(arm, dt_s, SafetyConfig(follow="path"))
    gate.reset(start)
    path = [start]
    while not np.array_equal(path[-1], end) and len(path) < 400:
        path.append(gate.apply(end)[0])
    points = np.stack(path)
    assert _off_line(start, end, points).max() <= 1e-9
    progress = (points - start) @ (end - start) / np.sum((end - start) ** 2)
    assert np.all(np.diff(progress) >= -1e-9), "it never turns back"
    assert progress.max() <= 1 + 1e-9, "it never overshoots"
    way, a, v = np.abs(end - start), arm.max_acceleration, np.minimum(arm.max_velocity, 1e6)
    easing = 2 * a / np.minimum(arm.max_jerk, 1e12)
    longest = np.max(2 * np.sqrt(way / a)) + np.max(way / v) + np.max(v[v < 1e6] / a[v < 1e6], initial=0.0)
    ticks = int((longest + np.max(easing)) / dt_s) + 6
    assert ticks > 400 or len(path) <= ticks


@settings(max_examples=80)
@given(st.lists(LIMITS, min_size=2, max_size=4), STEPS_S, st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.2]))
def test_every_step_of_a_path_lies_between_the_step_before_and_the_way_to_the_target(
    limits: Any, dt_s: float, seed: int, jumps: float
) -> None:
    """No joint leaves the plane of the two: the step is a share of the one and a share of the other."""
    arm = _arm([(low, high, v, a, None) for low, high, v, a, _ in limits])
    rng = np.random.default_rng(seed)
    position = target = (arm.lower + arm.upper) / 2
    gate = SafetyGate(arm, dt_s, SafetyConfig(follow="path"))
    gate.reset(position)
    before = np.zeros(arm.num_actions)
    for _ in range(200):
        if rng.random() < jumps:
            target = rng.uniform(arm.lower, arm.upper)
        out = gate.apply(target)[0]
        step, way = out - position, target - position
        (kept, taken), *_ = np.linalg.lstsq(np.stack([before, way], axis=1), step, rcond=1e-9)
        assert np.abs(step - kept * before - taken * way).max() <= 1e-9
        parallel = np.abs(before * (way @ way) - way * (way @ before)).max() <= 1e-9 * (way @ way)
        assert parallel or (-1e-6 <= kept <= 1 + 1e-6 and -1e-6 <= taken <= 1 + 1e-6)
        position, before = out, step
    for _ in range(600):
        position = gate.apply(target)[0]
    slow = np.max(np.sqrt((arm.upper - arm.lower) / arm.max_acceleration)) > 60 * dt_s
    fast_enough = np.max((arm.upper - arm.lower) / np.minimum(arm.max_velocity, 1e6)) < 300 * dt_s
    assert slow or not fast_enough or np.array_equal(position, target), "it gets there in the end"


@settings(max_examples=50)
@given(st.lists(LIMITS, min_size=1, max_size=3), STEPS_S, FOLLOW, st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("source", ["damp", "stop"])
def test_a_stopped_motion_comes_to_rest_and_stays(
    source: CommandSource, limits: Any, dt_s: float, follow: Any, seed: int
) -> None:
    arm = _arm(limits)
    rng = np.random.default_rng(seed)
    start = (arm.lower + arm.upper) / 2
    gate = SafetyGate(arm, dt_s, SafetyConfig(follow=follow))
    gate.reset(start)
    path = [start]
    target = rng.uniform(arm.lower, arm.upper)
    path += [gate.apply(target)[0] for _ in range(int(rng.integers(1, 60)))]
    moving = len(path)
    speed = np.abs(gate._velocity)
    window = max(2 * a / (j * dt_s) for a, j in zip(arm.max_acceleration, arm.max_jerk, strict=True))
    ticks = int(np.max(speed / (arm.max_acceleration * dt_s)) + window) + 4
    for _ in range(ticks + 20):
        wild = rng.uniform(-9, 9, arm.num_actions)
        path.append(gate.limit(Command(target=wild, stamp_s=0.0, source=source)).target)
    _require_limits(np.stack(path), arm, dt_s)
    assert gate.at_rest
    assert all(np.array_equal(path[-1], rested) for rested in path[moving + ticks :])


@settings(max_examples=30)
@given(st.floats(0.1, 2), st.floats(0.5, 3), st.floats(5, 80), st.floats(200, 5000))
def test_an_eased_motion_takes_at_most_a_moment_longer_than_the_fastest_there_is(
    way: float, velocity: float, acceleration: float, jerk: float
) -> None:
    """Ruckig's time-optimal motion under the same limits is the oracle; the price of the mean is `a / j`."""
    from ruckig import InputParameter, Ruckig, Trajectory

    dt_s = 0.001
    asked, fastest = InputParameter(1), Trajectory(1)
    asked.target_position = [way]
    asked.max_velocity, asked.max_acceleration, asked.max_jerk = [velocity], [acceleration], [jerk]
    Ruckig(1).calculate(asked, fastest)
    gate = SafetyGate(_arm([(-3, 3, velocity, acceleration, jerk)]), dt_s, SafetyConfig())
    gate.reset(np.zeros(1))
    ticks, out = 0, np.zeros(1)
    while out[0] != way:
        out, ticks = gate.apply(np.array([way]))[0], ticks + 1
        assert ticks * dt_s < 30
    assert fastest.duration - 3 * dt_s <= ticks * dt_s
    # Where accelerations do not reach their limit, the fastest motion has none of its full length to ease.
    assert ticks * dt_s <= fastest.duration + 2 * acceleration / jerk + 3 * dt_s
