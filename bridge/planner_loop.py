"""The planner's loop: newest observation in, subgoal out, on an absolute grid; in a thread or in a process."""

import logging
import threading
from typing import Any

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.repeated import RepeatedWarnings
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.senses import Senses
from dualsys.clock import Grid, Ticker
from dualsys.errors import BridgeError
from dualsys.messages import LatentSubgoal
from dualsys.protocols import Clock, Planner
from dualsys.provenance import sign_subgoal, subgoal_problem
from dualsys.reflection import reflect
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_PROBLEM_CHARACTERS = 300
"""What a status has room for of a reason; the log has it all."""


class PlannerLoop:
    """Runs a planner. A plan that fails or can't be used is counted and the one before stands.

    Args:
        planner: System 2.
        senses: Where observations come from.
        outbox: Where subgoals go; its epoch and last sequence are gone on from.
        reporter: Where counters go.
        clock: Time of the stamps.
        hz: Plans a second; starts due while one is made are skipped and counted.
        max_failures: Failed plans in a row after which the loop gives up; None: whoever watches it decides.
        log: Gets every subgoal, where there is one.
    """

    def __init__(
        self,
        planner: Planner,
        *,
        senses: Senses,
        outbox: Mailbox[LatentSubgoal],
        reporter: Reporter,
        clock: Clock,
        hz: float,
        max_failures: int | None = None,
        log: RunLog | None = None,
    ) -> None:
        self._planner = planner
        self._senses = senses
        self._outbox = outbox
        self._reporter = reporter
        self._clock = clock
        self._period_s = 1.0 / hz
        self._max_failures = max_failures
        self._log = log
        self._spec = planner.subgoal_spec
        self._sequence = outbox.last_sequence
        self._attempt: tuple[int, int] | None = None
        self._failures_in_a_row = 0
        self._problem = ""
        self._warnings = RepeatedWarnings(_LOGGER)
        self._counts = {"plans": 0, "waits": 0, "failures": 0, "refused": 0, "skipped": 0}

    def log_to(self, log: RunLog) -> None:
        """Note every subgoal from now on."""
        self._log = log

    def run(self, stop: threading.Event) -> None:
        """Plan until told to stop. Raises `BridgeError` after too many failures in a row."""
        self._failures_in_a_row = 0
        ticker = Ticker(Grid(origin_s=self._clock.now_s(), period_s=self._period_s))
        while not stop.is_set():
            if ticker.due(self._clock.now_s()):
                self.step()
            self._counts["skipped"] = ticker.skipped
            self._reporter.report(self._status)
            stop.wait(max(0.0, ticker.next_s - self._clock.now_s()))

    def step(self) -> bool:
        """Plan once; whether a subgoal was published."""
        sensed = self._senses.newest()
        if sensed is None:
            self._counts["waits"] += 1
            self._outbox.beat()
            return False
        episode, observation = sensed
        began_s = self._clock.now_s()
        try:
            if episode.key != self._attempt:
                self._planner.reset(seed=episode.model_seed)
                self._attempt = episode.key
            subgoal: Any = self._planner.plan(observation)
        except Exception as error:
            self._fail("failures", f"{type(error).__name__}: {error}", error)
            return False
        problem = subgoal_problem(subgoal, self._spec)
        if problem is not None:
            self._fail("refused", problem)
            return False
        try:
            self._publish(subgoal, began_s)
        except BridgeError as error:
            self._fail("refused", str(error))
            return False
        self._failures_in_a_row = 0
        self._reflect()
        return True

    def _reflect(self) -> None:
        """Now that the subgoal is out: what nobody waits for. A failure of it costs no subgoal."""
        try:
            reflect(self._planner)
        except Exception as error:
            self._fail("failures", f"{type(error).__name__}: {error}", error)

    def _publish(self, subgoal: LatentSubgoal, began_s: float) -> None:
        self._sequence += 1
        signed = sign_subgoal(
            subgoal, self._spec, sequence=self._sequence, epoch=self._outbox.epoch, emitted_stamp_s=self._clock.now_s()
        )
        if self._log is not None:
            # Before it is out: a planner that is killed between the two has told of every subgoal that anybody read.
            self._log.subgoal(signed, began_stamp_s=began_s)
        self._outbox.write(
            signed,
            sequence=signed.sequence,
            observation_stamp_s=signed.observation_stamp_s,
            time_to_live_s=signed.time_to_live_s,
        )
        self._counts["plans"] += 1

    def _fail(self, counter: str, reason: str, error: Exception | None = None) -> None:
        self._counts[counter] += 1
        self._failures_in_a_row += 1
        self._problem = reason[:_PROBLEM_CHARACTERS]
        self._outbox.beat()
        self._warnings.tell(f"no subgoal from this plan: {reason}", error)
        if self._log is not None:
            self._log.event("fault", stamp_s=self._clock.now_s(), part="planner", detail=reason)
        if self._max_failures is not None and self._failures_in_a_row >= self._max_failures:
            raise BridgeError(f"the planner failed {self._failures_in_a_row} times in a row; the last: {reason}")

    def _status(self) -> dict[str, Any]:
        return {
            "ready": True,
            "epoch": self._outbox.epoch,
            "sequence": self._sequence,
            "failures_in_a_row": self._failures_in_a_row,
            "problem": self._problem,
            **self._counts,
        }
