"""Tapes decided again in processes of their own, so that memory tells of who made them, not of who looks at them."""

from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from dualsys.bridge.tape_file import read_tape
from dualsys.replay import Replay, replay


@final
class TapeJudge:
    """Decides the parts of a tape again as they are done, one at a time, beside whoever makes the next. A context."""

    def __init__(self) -> None:
        self._workers = ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)
        self._pending: list[Future[Replay]] = []
        self._seen: set[Path] = set()
        self.commands = self.differing = 0
        self.first_difference = ""

    def judge(self, parts: list[Path]) -> None:
        """Have parts that are new decided again, once those of the call before are: none may go before it was read."""
        self.finish()
        new = [path for path in parts if path not in self._seen]
        self._seen.update(new)
        self._pending = [self._workers.submit(_decide_again, path) for path in new]

    def finish(self) -> None:
        """Wait for what is still being decided."""
        for pending in self._pending:
            found = pending.result()
            self.commands += found.commands
            self.differing += found.differing
            self.first_difference = self.first_difference or found.first_difference
        self._pending = []

    def report(self) -> dict[str, Any]:
        """What was found so far."""
        return {
            "parts": len(self._seen),
            "commands_replayed": self.commands,
            "differing": self.differing,
            "first_difference": self.first_difference,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.shutdown(cancel_futures=True)


def _decide_again(path: Path) -> Replay:
    return replay(*read_tape(path))
