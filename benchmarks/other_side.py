"""The other process of a benchmark: started, ready when it says so, asked with lines of JSON, ended with us."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class OtherSide:
    """A process that answers."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        """Use `other_side` instead."""
        self._name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def say(self, line: str) -> None:
        """Send it a line, and don't wait."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SystemExit(f"{self._name} has ended; what it said is above") from None

    def hear(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} ended without an answer; what it said is above")
        return line.strip()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send it an object and wait for the one it answers with."""
        self.say(json.dumps(question))
        return dict(json.loads(self.hear()))

    def finish(self) -> dict[str, Any]:
        """End its input, and take the object it leaves."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return dict(json.loads(self.hear()))


@contextmanager
def other_side(module: str, *arguments: str, path: Sequence[Path] = ()) -> Iterator[OtherSide]:
    """Run `python -m module` and wait for its line `ready`; it is killed at the end.

    Args:
        module: What to run, of this repository.
        arguments: Its arguments.
        path: Further folders to import from, after this repository.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *path])), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        side = OtherSide(module, process)
        try:
            if (line := side.hear()) != "ready":
                raise SystemExit(f"{module} said {line!r} instead of being ready")
            yield side
        finally:
            process.kill()
