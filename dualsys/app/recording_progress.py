"""How far a recording is: a bar on a terminal, a line now and then in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 30.0


class RecordingProgress:
    """Counts successes and failures, shows them with the time left."""

    def __init__(self, *, total: int, done: int) -> None:
        """`done` episodes are there already."""
        self._console = Console(stderr=True)
        columns = (
            TextColumn("recording"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failures]} failed"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("recording", total=total, completed=done, failures=0)
        self._total, self._done, self._done_before = total, done, done
        self.failures = 0
        self._started_s = self._last_line_s = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def note(self, success: bool) -> None:
        """One attempt has ended."""
        self._done += success
        self.failures += not success
        self._bar.update(self._task, completed=min(self._done, self._total), failures=self.failures)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._last_line_s > _LINE_EVERY_S:
            self._last_line_s = now_s
            self._console.print(self._line(now_s - self._started_s), highlight=False)

    @staticmethod
    def say(text: str) -> None:
        """A line of its own."""
        Console(stderr=True).print(text, highlight=False, soft_wrap=True)

    def _line(self, elapsed_s: float) -> str:
        rate = max(self._done - self._done_before, 1) / elapsed_s
        left_s = max(self._total - self._done, 0) / rate
        return f"recording {self._done}/{self._total}, {self.failures} failed, about {left_s / 60:.1f} min left"
