"""What is asked of a worker of an evaluation, and what comes back."""

from dataclasses import dataclass
from pathlib import Path

from dualsys.app.rollout import EpisodeResult

Scene = tuple[int, str]
"""An evaluation's index and a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeJob:
    """One episode: what tells it from all others of a run."""

    evaluation: int
    """Index among the evaluations of the run, as where an option is swept."""
    task: str
    seed: int
    film: Path | None = None
    """File for a video of it."""

    @property
    def scene(self) -> Scene:
        """What a worker needs to play it, and can play others with."""
        return self.evaluation, self.task

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.task} seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedEpisode:
    """An episode that has ended."""

    job: EpisodeJob
    result: EpisodeResult
    wall_s: float
    """Real time that it took, which is no part of a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The worker died before the episode had ended."""

    job: EpisodeJob
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Playing raised: every worker would say the same."""

    job: EpisodeJob
    error: Exception


Outcome = PlayedEpisode | Death | Refusal
