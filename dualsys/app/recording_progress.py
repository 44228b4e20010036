"""How far a recording is: a bar on a terminal, a line now and then in a log."""

from types import TracebackType
from typing import Self

from rich.console import Console

from dualsys.app.long_work import LongWork


class RecordingProgress:
    """Counts successes and failures, shows them with the time left."""

    def __init__(self, *, total: int, done: int) -> None:
        """`done` episodes are there already."""
        self._work = LongWork("recording", total=total, done=done, counted="failed")
        self._total, self._done, self._done_before = total, done, done
        self.failures = 0

    def __enter__(self) -> Self:
        """Show the bar."""
        self._work.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        self._work.stop()

    def note(self, success: bool) -> None:
        """One attempt has ended."""
        self._done += success
        self.failures += not success
        if self._work.show("recording", done=min(self._done, self._total), count=self.failures):
            self._work.say(self._line(self._work.elapsed_s))

    @staticmethod
    def say(text: str) -> None:
        """A line of its own."""
        Console(stderr=True).print(text, highlight=False, soft_wrap=True)

    def _line(self, elapsed_s: float) -> str:
        rate = max(self._done - self._done_before, 1) / elapsed_s
        left_s = max(self._total - self._done, 0) / rate
        return f"recording {self._done}/{self._total}, {self.failures} failed, about {left_s / 60:.1f} min left"
