"""What a training shows on the terminal: a bar, and a line for every validation."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class DecodingDisplay:
    """A context with a bar for every camera's videos that are decoded; nothing is drawn where none are.

    It is what `DemonstrationDataset.open` tells its progress.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns)
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """So many frames of all of a camera's are decoded; the first call of a camera has none done."""
        if self._bar is None:
            self._progress.start()
        if self._bar is None or done == 0:
            self._complete()
            self._bar = self._progress.add_task("decode videos, once", total=total)
        self._progress.update(self._bar, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        if self._bar is not None:
            self._progress.stop()

    def _complete(self) -> None:
        for task in self._progress.tasks:
            self._progress.update(task.id, completed=task.total)


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
        self._progress.update(self._bar, completed=record["step"], description=f"loss {record['flow']:.4f}{place}")

    def show(self, record: dict[str, Any]) -> None:
        """A step after which was validated."""
        self.say(" ".join(f"{_said(key)}={value:.5g}" for key, value in record.items()))

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def _said(key: str) -> str:
    """A figure's name on the terminal. The curve calls the loss of any head `flow`, from when there was that one."""
    return key.replace("flow", "loss", 1) if key.startswith(("flow", "validation_flow")) else key
