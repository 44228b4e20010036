"""How far an evaluation is: a bar on a terminal, a line now and then in a log."""

from types import TracebackType
from typing import Self

from dualsys.app.evaluation.job import Death, PlayedEpisode
from dualsys.app.long_work import LongWork


class EvaluationProgress:
    """Counts episodes, successes or returns, and deaths of workers; shows them with the time left."""

    def __init__(self, *, total: int, done: int, by_return: bool = False) -> None:
        """`done` episodes are kept from before; `by_return`: returns count, and nothing is a success."""
        self._by_return = by_return
        self._work = LongWork("evaluating", total=total, done=done, counted="mean return" if by_return else "succeeded")
        self._total, self._before = total, done
        self._played, self._successes, self._returns = 0, 0, 0.0

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
        self._returns += episode.result.reward
        done, mean = self._before + self._played, round(self._returns / self._played, 1)
        if self._work.show(episode.job.task, done=done, count=mean if self._by_return else self._successes):
            left_s = (self._total - done) * self._work.elapsed_s / self._played
            found = f"mean return {mean}" if self._by_return else f"{self._successes} of {self._played} succeeded"
            self.say(f"{episode.job.task}: {done}/{self._total} episodes, {found}, about {left_s / 60:.1f} min left")

    def note_death(self, death: Death) -> None:
        """A worker has died."""
        self.say(f"a worker died at {death.job} ({death.cause}); the episode is played again")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._work.say(text)
