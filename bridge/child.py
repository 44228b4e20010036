"""A process of ours: started, watched, started again when it dies, ended for certain."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import final

from dualsys.bridge.process_life import SETUP_FAILED, child_environment, end_session

_LOGGER = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
"""Delay before a restart; it doubles from one to the other while the process keeps dying young."""
HEALTHY_S = 20.0
"""A process that lived this long starts again after the first delay."""
SET_UP_WITHIN_S = 600.0
"""One that says it could not be set up has lived well only after this long: loading takes time, too."""
MAX_FAILED_STARTS = 20
_TAIL_CHARACTERS = 2000


@final
class Child:
    """`python -m MODULE ARGUMENTS`, with its output in a file.

    Args:
        module: Module to run.
        arguments: Its arguments.
        log: File that gets its output.
        restart: Whether it is started again when it dies.
        max_failed_starts: Starts in a row that may end in an early death before it is given up.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        restart: bool,
        max_failed_starts: int = MAX_FAILED_STARTS,
    ) -> None:
        self.module = module
        self.restarts = 0
        self.given_up = False
        """Whether it is not started any more because no start helped."""
        self._max_failed_starts = max_failed_starts
        self._failed_starts = 0
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = log
        self._restart = restart
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._restart_at_s: float | None = None
        self._delay_s = FIRST_DELAY_S

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C reaches only the supervisor, which ends all in order."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )
        self._started_s = monotonic()
        self._restart_at_s = None

    @property
    def pid(self) -> int | None:
        """Its process, None while it doesn't run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    @property
    def failed_for_good(self) -> bool:
        """Whether it ended in a way that says its set-up is wrong: it is not restarted, or could not be set up."""
        status = self.exit_status
        return status is not None and (not self._restart or status == SETUP_FAILED)

    def watch(self) -> str | None:
        """Start it again when it has died, after a delay; what happened, if something did. Call often."""
        status, now_s = self.exit_status, monotonic()
        if not self._restart or self.given_up or status is None:
            return None
        if self._restart_at_s is None:
            self._end_session()
            return self._take_death(status, now_s)
        if now_s < self._restart_at_s:
            return None
        try:
            self.start()
        except OSError as error:
            self._restart_at_s = now_s + LAST_DELAY_S
            return f"{self.module} cannot be started: {error}; next try in {LAST_DELAY_S:.1f} s"
        self.restarts += 1
        return None

    def _take_death(self, status: int, now_s: float) -> str:
        """Decide when it is started again, or that it is not."""
        if now_s - self._started_s >= (SET_UP_WITHIN_S if status == SETUP_FAILED else HEALTHY_S):
            self._failed_starts, self._delay_s = 0, FIRST_DELAY_S
        ended = f"{self.module} ended with status {status}"
        # The death of one that had been working is no failed start, but an early death of its successor is.
        if self._failed_starts >= self._max_failed_starts:
            self.given_up = True
            return f"{ended}; given up after {self._failed_starts} starts in a row"
        self._failed_starts += 1
        self._restart_at_s = now_s + self._delay_s
        delay_s, self._delay_s = self._delay_s, min(2 * self._delay_s, LAST_DELAY_S)
        return f"{ended}; restart in {delay_s:.1f} s"

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and don't start it again."""
        self._restart = False
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
        self._end_session()

    def _end_session(self) -> None:
        """End what it started itself and left behind; at once, while its number can't have been given to another."""
        if self._process is not None:
            leftovers = end_session(self._process.pid)
            if leftovers:
                _LOGGER.info("%s left processes behind, killed: %s", self.module, leftovers)

    def tail(self) -> str:
        """The end of its output."""
        try:
            text = self._log.read_text(errors="replace")
        except OSError:
            return ""
        return text[-_TAIL_CHARACTERS:].strip()
