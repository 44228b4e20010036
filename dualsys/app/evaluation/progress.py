"""How far an evaluation is: a bar on a terminal, a line now and then in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dualsys.app.evaluation.job import Death, PlayedEpisode

_LINE_EVERY_S = 30.0


class EvaluationProgress:
    """Counts episodes, successes and deaths of workers; shows them with the time left."""

    def __init__(self, *, total: int, done: int) -> None:
        """`done` episodes are kept from before."""
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[successes]} succeeded"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._row = self._bar.add_task("evaluating", total=total, completed=done, successes=0)
        self._total, self._before = total, done
        self._played = self._successes = 0
        self._started_s = self._last_line_s = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._before:
            self.say(f"{self._before} of {self._total} episodes are kept from before")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def note(self, episode: PlayedEpisode) -> None:
        """One has ended."""
        self._played += 1
        self._successes += episode.result.success
        done = self._before + self._played
        self._bar.update(self._row, description=episode.job.task, completed=done, successes=self._successes)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._last_line_s > _LINE_EVERY_S:
            self._last_line_s = now_s
            left_s = (self._total - done) * (now_s - self._started_s) / self._played
            self.say(
                f"{episode.job.task}: {done}/{self._total} episodes, {self._successes} of {self._played} succeeded, "
                f"about {left_s / 60:.1f} min left"
            )

    def note_death(self, death: Death) -> None:
        """A worker has died."""
        self.say(f"a worker died at {death.job} ({death.cause}); the episode is played again")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
