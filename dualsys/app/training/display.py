"""What a training shows on the terminal: a bar, and a line for every validation."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingDisplay:
    """A context in which the bar is drawn; quiet where somebody else draws it."""

    def __init__(self, *, steps: int, quiet: bool = False) -> None:
        self._console = Console(quiet=quiet)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console)
        self._bar = self._progress.add_task("train", total=steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, record: dict[str, Any]) -> None:
        """A step of the curve was done."""
        error_m = record.get("position_error_m")
        place = "" if error_m is None else f" at {error_m:.3f} m"
        self._progress.update(self._bar, completed=record["step"], description=f"flow {record['flow']:.4f}{place}")

    def show(self, record: dict[str, Any]) -> None:
        """A step after which was validated."""
        self.say(" ".join(f"{key}={value:.5g}" for key, value in record.items()))

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)
