"""Whatever goes into the safety gate, what comes out keeps position, velocity and acceleration limits, all at once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dualsys.braking import stopping_velocity
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig

LIMITS = st.tuples(
    st.floats(-3, -0.05), st.floats(0.05, 3), st.floats(0.1, 10) | st.none(), st.floats(0.5, 100) | st.none()
)
STEPS_S = st.sampled_from([0.001, 0.002, 0.02, 0.1])


def _arm(limits: list[tuple[float, float, float | None, float | None]]) -> EmbodimentSpec:
    joints = tuple(
        Joint(name=f"j{i}", lower=low, upper=high, max_velocity=velocity, max_acceleration=acceleration)
        for i, (low, high, velocity, acceleration) in enumerate(limits)
    )
    return EmbodimentSpec(name="arm", joints=joints, state_names=tuple(j.name for j in joints))


def _require_limits(path: np.ndarray[Any, Any], arm: EmbodimentSpec, dt_s: float) -> None:
    """Position, velocity and acceleration of a path that starts at rest, by discrete differences."""
    assert np.all(path <= arm.upper + 1e-9)
    assert np.all(path >= arm.lower - 1e-9)
    velocity = np.diff(path, axis=0) / dt_s
    assert np.all(np.abs(velocity) <= arm.max_velocity * (1 + 1e-6) + 1e-9)
    acceleration = np.diff(np.concatenate([np.zeros((1, path.shape[1])), velocity]), axis=0) / dt_s
    rounding = 1e-11 / dt_s**2
    assert np.all(np.abs(acceleration) <= arm.max_acceleration * (1 + 1e-6) + rounding)


@settings(max_examples=100)
@given(st.data(), st.lists(LIMITS, min_size=1, max_size=3), STEPS_S)
def test_any_target_leaves_within_all_limits(data: st.DataObject, limits: Any, dt_s: float) -> None:
    arm = _arm(limits)
    nu = arm.num_actions
    start = arm.lower + data.draw(hnp.arrays(float, nu, elements=st.floats(0, 1))) * (arm.upper - arm.lower)
    wild = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-4, 4)
    odd = st.sampled_from([None, "up", np.zeros(nu + 1), np.array(["a"] * nu), [0.0] * nu])
    targets = data.draw(st.lists(hnp.arrays(float, nu, elements=wild) | odd, max_size=30))
    # The same target over and over lets a motion build up speed: the interesting case at a limit.
    repeats = data.draw(st.sampled_from([1, 7, 40]))
    gate = SafetyGate(arm, dt_s, SafetyConfig())
    gate.reset(start)
    path = [start]
    for target in [t for t in targets for _ in range(repeats)]:
        out, names = gate.apply(target)
        path.append(out)
        assert names or np.allclose(out, target, rtol=1e-8, atol=1e-8), "a change without a name"
    _require_limits(np.stack(path), arm, dt_s)


@settings(max_examples=50)
@given(st.lists(LIMITS, min_size=1, max_size=3), STEPS_S, st.floats(0.2, 3), st.integers(0, 2**32 - 1))
def test_a_moving_target_is_stopped_at_the_limits(limits: Any, dt_s: float, pace: float, seed: int) -> None:
    """Targets that keep moving at up to `pace` times the speed limit, and run into and past the position limits."""
    arm = _arm(limits)
    rng = np.random.default_rng(seed)
    start = (arm.lower + arm.upper) / 2
    speed = pace * np.minimum(arm.max_velocity, 5.0) * rng.choice([-1.0, 1.0], arm.num_actions)
    gate = SafetyGate(arm, dt_s, SafetyConfig())
    gate.reset(start)
    path, target = [start], start.copy()
    for _ in range(300):
        turn = rng.random(arm.num_actions) < 0.01
        speed = np.where(turn, -speed, speed)
        target = np.clip(target + speed * dt_s, arm.lower - 0.5, arm.upper + 0.5)
        path.append(gate.apply(target)[0])
    _require_limits(np.stack(path), arm, dt_s)


@settings(max_examples=50)
@given(st.lists(LIMITS, min_size=1, max_size=3), STEPS_S, st.integers(0, 2**32 - 1))
def test_a_target_within_the_limits_passes_unchanged(limits: Any, dt_s: float, seed: int) -> None:
    """Oracle for a legal motion: pushes that leave room to brake, found by trying the braking tick by tick."""
    arm = _arm(limits)
    rng = np.random.default_rng(seed)
    targets = _legal_motion(arm, dt_s, rng, steps=60)
    gate = SafetyGate(arm, dt_s, SafetyConfig())
    gate.reset(targets[0])
    for target in targets[1:]:
        out, names = gate.apply(target)
        np.testing.assert_allclose(out, target, atol=1e-9)
        assert names == ()


def _legal_motion(arm: EmbodimentSpec, dt_s: float, rng: np.random.Generator, *, steps: int) -> list[Any]:
    position, velocity = (arm.lower + arm.upper) / 2, np.zeros(arm.num_actions)
    acceleration = np.minimum(arm.max_acceleration, 1e3)
    speed = np.minimum(arm.max_velocity, 1e3)
    path = [position]
    for _ in range(steps):
        push = rng.uniform(-1, 1, arm.num_actions) * acceleration * dt_s
        for joint in range(arm.num_actions):
            step = acceleration[joint] * dt_s
            pushed = float(np.clip(velocity[joint] + push[joint], -speed[joint], speed[joint]))
            braked = velocity[joint] - float(np.clip(velocity[joint], -step, step))
            velocity[joint] = pushed if _can_stop(position[joint], pushed, arm, joint, step, dt_s) else braked
        position = position + velocity * dt_s
        path.append(position)
    return path


def _can_stop(q: float, v: float, arm: EmbodimentSpec, joint: int, step: float, dt_s: float) -> bool:
    q += v * dt_s
    while abs(v) > 0 and arm.lower[joint] <= q <= arm.upper[joint]:
        v = np.sign(v) * max(abs(v) - step, 0.0)
        q += v * dt_s
    return bool(arm.lower[joint] <= q <= arm.upper[joint])


@settings(max_examples=100)
@given(st.floats(0, 10), st.floats(0.01, 1000), STEPS_S)
def test_stopping_velocity_inverts_braking_tick_by_tick(distance: float, acceleration: float, dt_s: float) -> None:
    velocity = stopping_velocity(np.array([distance]), np.array([acceleration]), dt_s)[0]
    travelled, v, ticks = 0.0, velocity, 0
    while v > 0 and ticks < 100_000:
        travelled += v * dt_s
        v -= acceleration * dt_s
        ticks += 1
    assert travelled == pytest.approx(distance, rel=1e-6, abs=1e-9)


@settings(max_examples=100)
@given(st.lists(LIMITS, min_size=1, max_size=2), STEPS_S, st.floats(0, 1), st.floats(0, 1))
def test_a_jump_is_met_without_overshoot(limits: Any, dt_s: float, start_share: float, target_share: float) -> None:
    arm = _arm(limits)
    start = arm.lower + start_share * (arm.upper - arm.lower)
    target = np.minimum(arm.lower + target_share * (arm.upper - arm.lower), arm.upper)
    gate = SafetyGate(arm, dt_s, SafetyConfig())
    gate.reset(start)
    path = [start]
    while not np.array_equal(path[-1], target) and len(path) < 300:
        path.append(gate.apply(target)[0])
    ahead = np.sign(target - start)
    assert np.all(np.diff(path, axis=0) * ahead >= -1e-9), "it never turns back"
    assert np.all((target - path) * ahead >= -1e-9), "it never overshoots"
    # The time of a bang-bang motion under one limit, then the other, is more than both together take.
    way, a, v = np.abs(target - start), np.minimum(arm.max_acceleration, 1e6), np.minimum(arm.max_velocity, 1e6)
    needed = int(np.max(2 * np.sqrt(way / a) + way / v) / dt_s) + 5
    assert needed > 300 or len(path) <= needed


@settings(max_examples=100)
@given(st.lists(LIMITS, min_size=1, max_size=2), STEPS_S, st.floats(-5, 5), st.floats(-5, 5))
def test_from_outside_its_limits_a_joint_only_moves_in(limits: Any, dt_s: float, start: float, target: float) -> None:
    arm = _arm(limits)
    position = np.full(arm.num_actions, start)
    gate = SafetyGate(arm, dt_s, SafetyConfig())
    gate.reset(position)
    velocity = np.zeros(arm.num_actions)
    for _ in range(50):
        out, _ = gate.apply(np.full(arm.num_actions, target))
        outside = np.maximum(out - arm.upper, arm.lower - out)
        was_outside = np.maximum(position - arm.upper, arm.lower - position)
        assert np.all(outside <= np.maximum(was_outside, 0.0) + 1e-9)
        now = (out - position) / dt_s
        assert np.all(np.abs(now) <= arm.max_velocity * (1 + 1e-6) + 1e-9)
        assert np.all(np.abs(now - velocity) <= arm.max_acceleration * dt_s * (1 + 1e-6) + 1e-11 / dt_s)
        position, velocity = out, now
