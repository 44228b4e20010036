"""`Relay`: stands in for a planner that is elsewhere, on the robot's node, in a process of its own (`relay_process`).

    the robot's boxes --newest observation--> [relay] ==Ray==> planner's server (`fleet_server`), on another node
    the subgoal's box <--------subgoal------- [relay] <==Ray==

To the supervisor it is the planner's host, to actor and tick the writer of the subgoal's box: nothing else knows that
the planner is elsewhere. When the link is cut, or the server or its node dies, the newest subgoal ages, as with a
planner that died on this node. When there is a server again, the relay adopts its box anew: a newer epoch.
"""

import logging
import math
import threading
from collections.abc import Callable
from typing import Any, final

from dualsys.bridge.box_line import Unreachable
from dualsys.bridge.handshake import Hello
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.relay_link import RelayLink
from dualsys.bridge.repeated import RepeatedWarnings
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.sensed import SensedCodec
from dualsys.bridge.senses import Senses
from dualsys.bridge.server_line import ServerLine
from dualsys.bridge.wire import SubgoalCodec
from dualsys.clock import Grid, Ticker
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import BridgeError
from dualsys.messages import LatentSubgoal
from dualsys.protocols import Clock
from dualsys.provenance import sign_subgoal, subgoal_problem
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_JOIN_PERIOD_S = 0.25


class NotLetIn(BridgeError):
    """The server refuses this robot, or its planner could not be loaded: trying again soon would not help."""


@final
class Relay:
    """Shows a server the newest observation and publishes what it gives.

    Args:
        line: To the server.
        application: What it is told of the robot (`FleetServer.join`).
        senses: Where observations come from.
        adopt: Adopts the subgoal's box; waits while another process has it.
        reporter: Where counters go.
        clock: Time of the stamps.
        hz: Observations a second that are sent, where there are so many new ones.
        spec: Of the subgoals that the actor takes.
        check: Why the server's planner must not be used, empty where it may; asked whenever it is joined.
        joins_within_s: How long the first joining is tried while nobody answers.
        log: Gets every subgoal, where there is one.
    """

    def __init__(  # noqa: PLR0913 - the ends of a relay are many
        self,
        line: ServerLine,
        application: dict[str, Any],
        *,
        senses: Senses,
        adopt: Callable[[], Mailbox[LatentSubgoal]],
        reporter: Reporter,
        clock: Clock,
        hz: float,
        spec: SubgoalSpec,
        check: Callable[[Hello], str],
        joins_within_s: float = math.inf,
        log: RunLog | None = None,
    ) -> None:
        self._line = line
        self._application = application
        self._senses = senses
        self._adopt = adopt
        self._reporter = reporter
        self._clock = clock
        self._hz = hz
        self._spec = spec
        self._check = check
        self._join_until_s = clock.now_s() + joins_within_s
        self._log = log
        self._codec = SensedCodec()
        self._woke = threading.Event()
        self._link: RelayLink | None = None
        self._outbox: Mailbox[LatentSubgoal] | None = None
        self._sequence = -1
        self._shown_s = float("-inf")
        self._node = ""
        self._problem = ""
        self._warnings = RepeatedWarnings(_LOGGER)
        self._counts = {"plans": 0, "waits": 0, "refused": 0, "skipped": 0, "outages": 0}
        self._server_counts = {"failures": 0, "refused": 0}
        """Of the seats before this one."""

    def run(self, stop: threading.Event) -> None:
        """Relay until told to stop, through all outages.

        Raises:
            NotLetIn: at the first joining.
            BridgeError: the server is given up.
        """
        try:
            while not stop.is_set():
                link = self._join(stop)
                if link is None:
                    return
                try:
                    self._take_place()
                    self._relay(link, stop)
                finally:
                    link.close()
                self._look_back(link)
        finally:
            if self._outbox is not None:
                self._outbox.close()

    def _join(self, stop: threading.Event) -> RelayLink | None:
        """A seat; tried until there is one. None: told to stop."""
        told = ""
        while not stop.is_set():
            try:
                answer = self._line.call("join", self._application)
                self._line.watch(answer)
                problem = answer["problem"] or (self._check(Hello.of_plain(answer["hello"])) if answer["ready"] else "")
                if answer["ready"] and not problem:
                    self._node, self._problem = answer["node"], ""
                    return RelayLink(self._line, answer["ticket"], self._woke)
                self._problem = problem or answer.get("ended") or "the planner loads"
                if problem and self._outbox is None:
                    raise NotLetIn(problem)
            except Unreachable as error:
                self._problem = str(error)
                if self._outbox is None and self._clock.now_s() > self._join_until_s:
                    raise NotLetIn(self._problem) from error
            if self._problem != told:
                told = self._problem
                _LOGGER.warning("no planner yet: %s", told)
            self._beat()
            self._reporter.report(self._status)
            stop.wait(_JOIN_PERIOD_S)
        return None

    def _take_place(self) -> None:
        """Adopt the box, anew after an outage: who reads it shall know that there was one."""
        if self._outbox is not None:
            self._outbox.close()
        self._outbox = self._adopt()
        self._sequence = max(self._sequence, self._outbox.last_sequence)

    def _relay(self, link: RelayLink, stop: threading.Event) -> None:
        self._link = link
        ticker = Ticker(Grid(origin_s=self._clock.now_s(), period_s=1.0 / self._hz))
        while not stop.is_set() and not link.lost:
            if ticker.due(self._clock.now_s()):
                self._show(link)
            self._counts["skipped"] = ticker.skipped
            frame = link.take()
            if frame is not None:
                self._publish(frame)
            self._beat()
            self._line.watch(link.news)
            self._reporter.report(self._status)
            self._woke.wait(max(0.0, ticker.next_s - self._clock.now_s()))
            self._woke.clear()

    def _show(self, link: RelayLink) -> None:
        """Send the newest observation, unless that has been sent."""
        sensed = self._senses.newest()
        if sensed is None or sensed[1].stamp_s <= self._shown_s:
            self._counts["waits"] += 1
            return
        self._shown_s = sensed[1].stamp_s
        link.show(self._codec.encode(sensed))

    def _publish(self, frame: bytes) -> None:
        assert self._outbox is not None
        try:
            subgoal = SubgoalCodec().decode(frame)
            problem = subgoal_problem(subgoal, self._spec)
            if problem is not None:
                raise BridgeError(problem)
            signed = sign_subgoal(
                subgoal,
                self._spec,
                sequence=self._sequence + 1,
                epoch=self._outbox.epoch,
                emitted_stamp_s=self._clock.now_s(),
            )
            self._outbox.write(
                signed,
                sequence=signed.sequence,
                observation_stamp_s=signed.observation_stamp_s,
                time_to_live_s=signed.time_to_live_s,
            )
        except BridgeError as error:
            self._counts["refused"] += 1
            self._problem = str(error)
            self._warnings.tell(f"what the planner's server gave cannot be used: {error}")
            return
        self._sequence += 1
        self._counts["plans"] += 1
        if self._log is not None:
            self._log.subgoal(signed)

    def _look_back(self, link: RelayLink) -> None:
        """After the end of a link."""
        for name in self._server_counts:
            self._server_counts[name] += link.news.get(name, 0)
        if not link.lost:
            return
        self._link = None
        self._counts["outages"] += 1
        self._problem = link.lost
        _LOGGER.warning("the link to the planner is lost, the newest subgoal ages: %s", link.lost)
        if self._log is not None:
            self._log.event("fault", stamp_s=self._clock.now_s(), part="planner", detail=link.lost)

    def _beat(self) -> None:
        """A sign of this process's life, not of the planner's: that one's is the age of its subgoals."""
        if self._outbox is not None:
            self._outbox.beat()

    def _status(self) -> dict[str, Any]:
        news = {} if self._link is None else self._link.news
        return {
            "ready": True,
            "epoch": 0 if self._outbox is None else self._outbox.epoch,
            "sequence": self._sequence,
            "failures_in_a_row": news.get("failures_in_a_row", 0),
            "problem": news.get("problem") or self._problem,
            "link": "lost" if self._link is None else "up",
            "node": self._node,
            "server": news,
            **self._counts,
            "failures": self._server_counts["failures"] + news.get("failures", 0),
            "refused": self._counts["refused"] + self._server_counts["refused"] + news.get("refused", 0),
        }
