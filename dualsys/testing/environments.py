"""Conformance of environments."""

from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import NotConforming
from dualsys.messages import FloatArray
from dualsys.protocols import Environment, Rewindable
from dualsys.testing.conditions import require, require_members, require_observation


def check_environment(environment: Any, *, steps: int = 10, seed: int = 0) -> None:
    """Check that an environment keeps its protocol. Steps it, renders it, and closes it.

    One that offers `snapshot` and `restore` (`dualsys.protocols.Rewindable`) is set back, too.

    Args:
        environment: A new environment; it is closed at the end.
        steps: Control steps of each of the two episodes that are compared.
        seed: Of both episodes.

    Raises:
        NotConforming: it does not; the message says what was expected.
    """
    name = require_members(environment, Environment)
    embodiment, dt_s = environment.embodiment, environment.control_dt_s
    require(isinstance(embodiment, EmbodimentSpec), f"{name}.embodiment is {type(embodiment).__name__}")
    require(isinstance(dt_s, float) and dt_s > 0, f"{name}.control_dt_s is {dt_s!r}, expected seconds of a step")
    try:
        first, second = (_episode(environment, name, steps, seed) for _ in range(2))
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            require(
                np.array_equal(one, other),
                f"{name} was reset twice with seed {seed} and given the same actions, but the states differ at step "
                f"{index}: not reproducible",
            )
        if isinstance(environment, Rewindable):
            _go_back(environment, name, steps, seed)
    finally:
        environment.close()
    environment.close()


def _episode(environment: Any, name: str, steps: int, seed: int) -> list[FloatArray]:
    """States of an episode, each checked as it came."""
    outcome = environment.reset(seed=seed)
    require(isinstance(outcome, tuple) and len(outcome) == 2, f"{name}.reset() must give (observation, info)")
    require(isinstance(environment.instruction, str), f"{name}.instruction must be a string")
    embodiment = environment.embodiment
    observation = require_observation(environment.observe(), embodiment, f"{name}.observe()")
    action = np.clip(embodiment.position_in(observation.state), embodiment.lower, embodiment.upper)
    states = [(observation.state, observation.state.copy())]
    for _ in range(steps):
        ended = _step(environment, name, action)
        before_s = observation.stamp_s
        observation = require_observation(environment.observe(), embodiment, f"{name}.observe()")
        passed_s = observation.stamp_s - before_s
        require(
            abs(passed_s - environment.control_dt_s) < 1e-6,
            f"{name}.step() moved the stamp by {passed_s:g} s, control_dt_s says {environment.control_dt_s:g}",
        )
        states.append((observation.state, observation.state.copy()))
        if ended:
            break
    for state, copy in states:
        require(np.array_equal(state, copy), f"{name}.step() overwrote the state of an earlier observation")
    return [copy for _, copy in states]


def _go_back(environment: Rewindable, name: str, steps: int, seed: int) -> None:
    """Refuse an environment whose `restore` does not lead back to where its snapshot was taken."""
    environment.reset(seed=seed)
    action = (environment.embodiment.lower + environment.embodiment.upper) / 2
    snapshot = environment.snapshot()
    there = _states_after(environment, action, steps)
    environment.restore(snapshot)
    require(
        np.array_equal(there, _states_after(environment, action, steps)),
        f"{name}.restore() led elsewhere: the same actions after it gave other states",
    )
    environment.restore(snapshot, restart_clock=True)
    stamp_s = environment.observe().stamp_s
    require(stamp_s == 0.0, f"{name}.restore(restart_clock=True) left the stamp at {stamp_s:g} s, expected 0")


def _states_after(environment: Environment, action: FloatArray, steps: int) -> FloatArray:
    """States `(steps, nx)` under one action held."""
    states = []
    for _ in range(steps):
        environment.step(action)
        states.append(environment.observe().state.copy())
    return np.array(states)


def _step(environment: Any, name: str, action: FloatArray) -> bool:
    kept = action.copy()
    outcome = environment.step(action)
    if not (isinstance(outcome, tuple) and len(outcome) == 5):
        raise NotConforming(f"{name}.step() must give (observation, reward, terminated, truncated, info)")
    _, reward, terminated, truncated, info = outcome
    require(np.array_equal(action, kept), f"{name}.step() wrote into the action")
    require(bool(np.isfinite(reward)), f"{name}.step() gave reward {reward!r}, expected a finite number")
    for word, value in (("terminated", terminated), ("truncated", truncated), ("success", environment.success)):
        require(isinstance(value, (bool, np.bool_)), f"{name}: {word} is {value!r}, expected a bool")
    require(isinstance(info, dict), f"{name}.step() gave info {type(info).__name__}, expected a dict")
    return bool(terminated or truncated)
