"""Episodes that were played, and what that took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dualsys.app.evaluation.job import Death, PlayedEpisode
from dualsys.app.rollout import EpisodeResult

OF_ONE = ("worker_deaths", "episode_wall_s")
"""Timings of a single evaluation of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """All episodes of a run of several evaluations."""

    episodes: Sequence[PlayedEpisode]
    """By evaluation, task and seed."""
    num_kept: int
    """Of those, from earlier runs."""
    wall_s: float
    """Of this run."""
    first_end_s: float
    """When its first episode had ended: workers had been started by then."""
    deaths: Sequence[Death]
    """Of workers."""

    def results(self, evaluation: int) -> dict[str, list[EpisodeResult]]:
        """An evaluation's, by task, in the order of their seeds."""
        return {task: [each.result for each in episodes] for task, episodes in self._by_task(evaluation).items()}

    def timings(self, evaluation: int) -> dict[str, Any]:
        """Figures of the clock on the wall, other ones each time. Those of the whole run are the same for all."""
        num_played = len(self.episodes) - self.num_kept
        return {
            "wall_s": round(self.wall_s, 3),
            "first_episode_after_s": round(self.first_end_s, 3),
            "episodes_played": num_played,
            "episodes_kept": self.num_kept,
            "episodes_per_minute": round(60 * num_played / self.wall_s, 3),
            "worker_deaths": [
                {"task": death.job.task, "seed": death.job.seed, "cause": death.cause}
                for death in self.deaths
                if death.job.evaluation == evaluation
            ],
            "episode_wall_s": {
                task: [round(each.wall_s, 3) for each in episodes]
                for task, episodes in self._by_task(evaluation).items()
            },
        }

    def _by_task(self, evaluation: int) -> dict[str, list[PlayedEpisode]]:
        tasks: dict[str, list[PlayedEpisode]] = {}
        for episode in self.episodes:
            if episode.job.evaluation == evaluation:
                tasks.setdefault(episode.job.task, []).append(episode)
        return tasks
