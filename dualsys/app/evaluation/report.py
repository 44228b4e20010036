"""What an evaluation found, as it goes into its JSON file."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import EpisodeResult
from dualsys.counters import CHUNK_COUNTS, RECOVERY_COUNTS, TIMING_COUNTS


def task_report(task: str, episodes: list[EpisodeResult]) -> dict[str, Any]:
    """Success of a task with its interval, means and counters, and every episode."""
    successes = sum(episode.success for episode in episodes)
    low, high = wilson_interval(successes, len(episodes))
    return {
        "task": task,
        "episodes": len(episodes),
        "successes": successes,
        "success": successes / len(episodes),
        "ci95": [low, high],
        "mean_duration_s": sum(episode.duration_s for episode in episodes) / len(episodes),
        "mean_reward": sum(episode.reward for episode in episodes) / len(episodes),
        "recoveries": _summed([episode.recoveries for episode in episodes], RECOVERY_COUNTS),
        "chunks": _summed([episode.chunks for episode in episodes], CHUNK_COUNTS),
        "timing": _summed([episode.timing for episode in episodes], TIMING_COUNTS),
        "per_episode": [asdict(episode) for episode in episodes],
    }


def _summed(counts: list[dict[str, int]], names: Iterable[str]) -> dict[str, int]:
    return {name: sum(each.get(name, 0) for each in counts) for name in names}
