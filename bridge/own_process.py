"""A process of ours: started in a session of its own, watched, ended for certain with all that it started."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

from dualsys.bridge.output_file import OutputFile
from dualsys.bridge.process_life import child_environment, end_session

_LOGGER = logging.getLogger(__name__)

_TAIL_BYTES = 2000
_WORDS_CHARACTERS = 300


@final
class OwnProcess:
    """`python -m MODULE ARGUMENTS`, with its output in a file.

    Args:
        module: Module to run.
        arguments: Its arguments.
        log: File that gets its output.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, log: Path) -> None:
        self.module = module
        self._command = [sys.executable, "-m", module, *arguments]
        self._output = OutputFile(log)
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C reaches only the supervisor, which ends all in order.

        What the one before left behind is ended first.

        Raises:
            OSError: where the system can't start it.
        """
        self.clean_up()
        with self._output.appended() as (log, self._said_before):
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """Its process, None while it doesn't run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Send SIGKILL, if it runs. Returns at once."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Send SIGTERM. Returns at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self, *, within_s: float) -> None:
        """End it: SIGTERM, and SIGKILL when it is still there after a time."""
        self.ask_to_stop()
        if self._process is None:
            return
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            _LOGGER.warning("%s did not end within %.0f s of SIGTERM: killed", self.module, within_s)
            self._process.kill()
            self._process.wait()
        self.clean_up()

    def clean_up(self) -> None:
        """End what it started itself and left behind; soon, while its number can't have been given to another."""
        if self._process is not None and self._process.poll() is not None:
            leftovers = end_session(self._process.pid)
            if leftovers:
                _LOGGER.info("%s left processes behind, killed: %s", self.module, leftovers)

    def tail(self) -> str:
        """The end of its output."""
        return self._output.end(_TAIL_BYTES).strip()

    def keep_short(self) -> None:
        """Let the older part of its output go where there is too much of it. Call now and then."""
        if self._output.trim():
            self._said_before = 0

    def last_words(self) -> str:
        """The last line that it wrote since its start, cut to a length that fits into a report."""
        said = self._output.end(_TAIL_BYTES, since=self._said_before)
        return (said.strip().splitlines() or [""])[-1][:_WORDS_CHARACTERS]
