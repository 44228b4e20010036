"""Episodes that wait, and which of them a worker takes: to change the scene takes longer than many an episode."""

from collections import deque
from collections.abc import Iterable
from typing import final

from dualsys.app.evaluation.job import EpisodeJob, Scene


@final
class WaitingEpisodes:
    """A worker keeps to its scene while episodes of it wait, then goes to where most do."""

    def __init__(self, jobs: Iterable[EpisodeJob]) -> None:
        self._by_scene: dict[Scene, deque[EpisodeJob]] = {}
        for job in jobs:
            self._by_scene.setdefault(job.scene, deque()).append(job)
        self._again: deque[EpisodeJob] = deque()
        self._at: dict[int, Scene] = {}

    def __len__(self) -> int:
        return len(self._again) + sum(map(len, self._by_scene.values()))

    def take(self, worker: int) -> EpisodeJob:
        """The next for a worker. One whose worker died is whoever's is next, before all others."""
        if self._again:
            return self._again.popleft()
        if worker not in self._at or not self._by_scene[self._at[worker]]:
            self._at[worker] = max(self._by_scene, key=lambda scene: len(self._by_scene[scene]))  # the first of several
        return self._by_scene[self._at[worker]].popleft()

    def put_back(self, job: EpisodeJob) -> None:
        """Its worker died."""
        self._again.appendleft(job)
