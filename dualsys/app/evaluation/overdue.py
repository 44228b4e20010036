"""Delays that outlast the episodes: mostly milliseconds that were written where seconds are read."""

from collections.abc import Iterator, Sequence

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_environment
from dualsys.app.rollout import MAX_EPISODE_S
from dualsys.bridge.episode_delays import DelaySource
from dualsys.errors import ConfigError

UNSUSPECTED_S = 1.0
"""Delays up to this, on average, are taken for what is meant; only beyond is a task built to ask how long it lasts."""


def require_in_time(configs: Sequence[EvalConfig], tasks: Sequence[Sequence[str]]) -> None:
    """Raise `ConfigError` where a delay is longer, on average, than the episodes of a task.

    Args:
        configs: The evaluations.
        tasks: Of each.
    """
    known: dict[tuple[str, str, float | None], float] = {}  # the points of a sweep have the same tasks
    for config, own in zip(configs, tasks, strict=True):
        for option, mean_s in _suspected(config):
            for task in own:
                key = task, config.protocol, config.control_hz
                if key not in known:
                    known[key] = _longest_s(config, task)
                if mean_s >= known[key]:
                    raise ConfigError(_told(option, mean_s, task, known[key]))


def _suspected(config: EvalConfig) -> Iterator[tuple[str, float]]:
    if config.world == "frozen":
        return
    for option, distribution in DelaySource(config.timing(1.0)).distributions.items():
        if distribution.mean_s > UNSUSPECTED_S:
            yield option, distribution.mean_s


def _longest_s(config: EvalConfig, task: str) -> float:
    """Simulated time that an episode may last: the protocol's, the task's own, or what no episode is longer than."""
    protocol = config.benchmark()
    steps = None if protocol is None else protocol.horizon_of(task)
    if steps is not None and config.control_hz is not None:
        return steps / config.control_hz
    environment = make_environment(config, task)
    try:
        own_s = float(getattr(environment, "longest_s", MAX_EPISODE_S))
        return own_s if steps is None else steps * environment.control_dt_s
    finally:
        environment.close()


def _told(option: str, mean_s: float, task: str, longest_s: float) -> str:
    flag = f"--{option.replace('_', '-')}"
    return (
        f"{flag}: {mean_s:g} s on average, and an episode of {task} is over after {longest_s:g} s: what is so late "
        f"comes to nothing. Delays are seconds: are {mean_s:g} ms meant, {mean_s / 1e3:g}?"
    )
