"""A process of ours that is started again when it dies, at longer and longer intervals, and at last given up."""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import final

from dualsys.bridge.own_process import OwnProcess
from dualsys.bridge.process_life import SETUP_FAILED
from dualsys.restarts import RestartBudget
from dualsys.settings import RestartConfig

HEALTHY_S = 20.0
"""A process that lived this long has all its restarts again."""
SET_UP_WITHIN_S = 600.0
"""One that says it could not be set up has lived well only after this long: loading takes time, too."""


@final
class Child:
    """`python -m MODULE ARGUMENTS`, with its output in a file.

    Args:
        module: Module to run.
        arguments: Its arguments.
        log: File that gets its output.
        restart: How it is started again when it dies; None: not at all.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, log: Path, restart: RestartConfig | None) -> None:
        self.module = module
        self.restarts = 0
        self.given_up = False
        """Whether it is not started any more because no start helped."""
        self._process = OwnProcess(module, arguments, log=log)
        self._budget = None if restart is None else RestartBudget(restart)
        self._started_s = 0.0
        self._restart_at_s: float | None = None

    def start(self) -> None:
        """Start it."""
        self._process.start()
        self._started_s = monotonic()
        self._restart_at_s = None

    @property
    def pid(self) -> int | None:
        """Its process, None while it doesn't run."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, None while it runs or before it was started."""
        return self._process.exit_status

    @property
    def failed_for_good(self) -> bool:
        """Whether it ended in a way that says its set-up is wrong: it is not restarted, or could not be set up."""
        status = self.exit_status
        return status is not None and (self._budget is None or status == SETUP_FAILED)

    def watch(self) -> str | None:
        """Start it again when it has died, after a delay; what happened, if something did. Call often.

        Its output is kept short, too.
        """
        self._process.keep_short()
        status, now_s = self.exit_status, monotonic()
        if self._budget is None or self.given_up or status is None:
            return None
        if self._restart_at_s is None:
            self._process.clean_up()
            return self._take_death(self._budget, status, now_s)
        if now_s < self._restart_at_s:
            return None
        self._budget.spend(now_s)
        self.restarts += 1
        try:
            self.start()
        except OSError as error:
            return self._plan_restart(self._budget, f"{self.module} cannot be started: {error}", now_s)
        return None

    def _take_death(self, budget: RestartBudget, status: int, now_s: float) -> str:
        """Decide when it is started again, or that it is not."""
        # The death of one that had been working is no failed start, but an early death of its successor is.
        if now_s - self._started_s >= (SET_UP_WITHIN_S if status == SETUP_FAILED else HEALTHY_S):
            budget.refill()
        return self._plan_restart(budget, f"{self.module} ended with status {status}", now_s)

    def _plan_restart(self, budget: RestartBudget, what: str, now_s: float) -> str:
        delay_s = budget.delay_s(now_s)
        if delay_s is None:
            self.given_up = True
            return f"{what}; given up: {budget.exhausted()}"
        self._restart_at_s = now_s + delay_s
        return f"{what}; restart {'at once' if delay_s == 0 else f'in {delay_s:.1f} s'}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and don't start it again."""
        self._budget = None
        self._process.ask_to_stop()

    def stop(self, *, within_s: float) -> None:
        """End it: SIGTERM, and SIGKILL when it is still there after a time."""
        self._budget = None
        self._process.stop(within_s=within_s)

    def tail(self) -> str:
        """The end of its output."""
        return self._process.tail()
