"""One worker that is this process itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from dualsys.app.evaluation.job import EpisodeJob, Outcome, Refusal
from dualsys.app.evaluation.player import Player


@contextmanager
def alone(make: Callable[[], Player]) -> Iterator["Alone"]:
    """A crew of this process."""
    player = make()
    try:
        yield Alone(player)
    finally:
        player.close()


@final
class Alone:
    """Plays when it is asked what came of it."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._jobs: list[EpisodeJob] = []

    @property
    def idle(self) -> list[int]:
        """The one, unless something is to be played."""
        return [] if self._jobs else [0]

    def give(self, job: EpisodeJob, worker: int) -> None:
        """What is played next."""
        del worker
        self._jobs.append(job)

    def outcomes(self) -> list[Outcome]:
        """Play it. What is raised says itself where that was."""
        job = self._jobs.pop()
        try:
            return [self._player.play(job)]
        except Exception as error:
            return [Refusal(job=job, error=error)]
