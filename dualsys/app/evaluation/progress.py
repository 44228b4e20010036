"""How far an evaluation is: a bar on a terminal, a line now and then in a log."""

from types import TracebackType
from typing import Self

from dualsys.app.evaluation.job import Death, PlayedEpisode
from dualsys.app.long_work import LongWork


class EvaluationProgress:
    """Counts episodes, successes and deaths of workers; shows them with the time left."""

    def __init__(self, *, total: int, done: int) -> None:
        """`done` episodes are kept from before."""
        self._work = LongWork("evaluating", total=total, done=done, counted="succeeded")
        self._total, self._before = total, done
        self._played = self._successes = 0

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._before:
            self.say(f"{self._before} of {self._total} episodes are kept from before")
        self._work.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        self._work.stop()

    def note(self, episode: PlayedEpisode) -> None:
        """One has ended."""
        self._played += 1
        self._successes += episode.result.success
        done = self._before + self._played
        if self._work.show(episode.job.task, done=done, count=self._successes):
            left_s = (self._total - done) * self._work.elapsed_s / self._played
            self.say(
                f"{episode.job.task}: {done}/{self._total} episodes, {self._successes} of {self._played} succeeded, "
                f"about {left_s / 60:.1f} min left"
            )

    def note_death(self, death: Death) -> None:
        """A worker has died."""
        self.say(f"a worker died at {death.job} ({death.cause}); the episode is played again")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._work.say(text)
