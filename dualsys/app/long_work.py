"""Long work on a terminal: a bar, or where there is none, a line now and then in a log."""

import time
from typing import final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 30.0


@final
class LongWork:
    """How far it is, of how many."""

    def __init__(self, what: str, *, total: int, done: int, counted: str) -> None:
        """Nothing is shown yet.

        Args:
            what: It is, in a word.
            total: Of things to do.
            done: Of them that are done already.
            counted: What is counted beside them, such as `failed`.
        """
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{{task.fields[count]}} {counted}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._row = self._bar.add_task(what, total=total, completed=done, count=0)
        self._started_s = self._last_line_s = time.monotonic()

    def start(self) -> None:
        """Show the bar."""
        self._bar.start()

    def stop(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def show(self, what: str, *, done: int, count: float) -> bool:
        """Move the bar; whether a line in a log is due instead."""
        self._bar.update(self._row, description=what, completed=done, count=count)
        now_s = time.monotonic()
        if self._console.is_terminal or now_s - self._last_line_s <= _LINE_EVERY_S:
            return False
        self._last_line_s = now_s
        return True

    @property
    def elapsed_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started_s

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
