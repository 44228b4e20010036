"""One worker that is this process itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from dualsys.app.evaluation.job import EpisodeJob, Outcome
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
    """Plays when it is asked what came of it. What goes wrong is raised where it does."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._jobs: list[EpisodeJob] = []

    @property
    def room(self) -> int:
        """One, unless something is to be played."""
        return 0 if self._jobs else 1

    def give(self, job: EpisodeJob) -> None:
        """What is played next."""
        self._jobs.append(job)

    def outcomes(self) -> list[Outcome]:
        """Play it."""
        return [self._player.play(self._jobs.pop())]
