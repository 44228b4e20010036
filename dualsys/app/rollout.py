"""One episode on the virtual clock: environment and controller, until the task says it is over."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dualsys.app.controller import Controller
from dualsys.app.episode_rules import EpisodeRules
from dualsys.counters import CHUNK_COUNTS, RECOVERY_COUNTS, TIMING_COUNTS
from dualsys.errors import ConfigError
from dualsys.messages import Command
from dualsys.protocols import Environment

StepListener = Callable[[Command], None]

MAX_EPISODE_S = 60.0
"""Simulated time after which a task that has no end of its own is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeResult:
    """How an episode went."""

    seed: int
    instruction: str
    success: bool
    duration_s: float
    """Simulated."""
    reward: float
    """Sum over the steps."""
    limited_ticks: int
    """Commands that the safety gate changed."""
    info: dict[str, Any]
    """The environment's last `info`, as far as JSON holds it."""
    recoveries: dict[str, int] = field(default_factory=dict)
    """What was counted of failed attempts (`dualsys.recovery`), by counter; what never happened is left out."""
    chunks: dict[str, int] = field(default_factory=dict)
    """Chunks asked for, taken in and refused, by counter (`dualsys.counters`); what never happened is left out."""
    timing: dict[str, int] = field(default_factory=dict)
    """What delays and losses did, by counter (`dualsys.counters.TIMING_COUNTS`); what never happened is left out."""


def run_episode(
    environment: Environment,
    controller: Controller,
    seed: int,
    *,
    max_seconds: float = MAX_EPISODE_S,
    options: dict[str, Any] | None = None,
    on_step: StepListener | None = None,
    rules: EpisodeRules = EpisodeRules(),  # noqa: B008  # it is frozen
) -> EpisodeResult:
    """Run an episode from a seed. The same seed, controller and timing give the same result to the bit.

    Args:
        environment: Any task; made with `images="on-demand"`, frames are rendered only when a model looks.
        controller: For the environment's embodiment.
        seed: Of the scene, and of the controller's noise.
        max_seconds: Simulated time after which an endless task is stopped.
        options: Passed to the environment's `reset`.
        on_step: Called after each step with the command, for videos and records.
        rules: Where it starts, what counts as success, and whether that ends it.

    Raises `ConfigError` where a reward is no finite number, or the rules don't go with the environment.
    """
    environment.reset(seed=seed, options=rules.start(environment, seed, options))
    controller.reset(seed=seed)
    before, late_before = controller.driver.core.status().counts, Counter(controller.driver.counts)
    reward, limited, elapsed_s = 0.0, 0, 0.0
    info: dict[str, Any] = {}
    over = succeeded = False
    steps = 0
    while not over and (rules.longest_steps is not None or elapsed_s < max_seconds):
        rules.require_end(environment, steps)
        command = controller.step(environment.observe())
        _, gained, terminated, truncated, info = environment.step(command.target)
        reward += _finite(gained, environment, seed, steps)
        limited += bool(command.limited)
        elapsed_s += environment.control_dt_s
        steps += 1
        succeeded = rules.succeeded(before=succeeded, now=bool(environment.success))
        over = terminated or truncated or (rules.stop_on_success and succeeded)
        if on_step is not None:
            on_step(command)
    after = controller.driver.core.status().counts
    return EpisodeResult(
        seed=seed,
        instruction=environment.instruction,
        success=succeeded,
        duration_s=round(elapsed_s, 6),
        reward=reward,
        limited_ticks=limited,
        info={key: _plain(value) for key, value in info.items() if _is_plain(value)},
        recoveries=moved_since(before, after, RECOVERY_COUNTS),
        chunks=moved_since(before, after, CHUNK_COUNTS),
        timing=moved_since(late_before, controller.driver.counts, TIMING_COUNTS),
    )


def _finite(gained: Any, environment: Environment, seed: int, step: int) -> float:
    """A step's reward. Raises `ConfigError` for what is no finite number: nothing could be averaged over it."""
    if not np.isfinite(reward := float(gained)):
        raise ConfigError(
            f"{environment.embodiment.name}: step {step} of the episode from seed {seed} gave the reward {reward}; the "
            "simulation has come apart, or the task divides by nothing: mend the task, or evaluate seeds without this"
        )
    return reward


def moved_since(before: Mapping[str, int], after: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Those of some counters that have moved, and by how much."""
    return {name: after[name] - before[name] for name in names if after[name] != before[name]}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isfinite(value))
    return value is None or isinstance(value, (str, bool, int, np.integer, np.bool_))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
