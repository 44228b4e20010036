"""Keeps a planner: tells the lives of its hosts (`dualsys.planner_life`) what happens, and does what they decide.

It learns of a death from whoever runs the hosts, of a hang from the age of the box's heartbeat or of a standby's sign,
of subgoals from the box's stamps, of failed plans from the planner's status; and it shakes hands with every host before
that may plan.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Any, final

from dualsys.bridge.handshake import forget, last_sign, read_hello, welcome
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.launchers import PlannerHosts
from dualsys.bridge.reporter import Status
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError
from dualsys.messages import LatentSubgoal
from dualsys.planner_life import (
    Accepted,
    Beat,
    Began,
    Died,
    LifeDecision,
    LifeEvent,
    LifeState,
    Passed,
    PlanFailed,
    PlannerLife,
    Refused,
    state_of_all,
)
from dualsys.protocols import Clock

MAX_TRANSITIONS = 1000
"""Changes of state that the report has room for; the log has all."""

OnNote = Callable[..., None]
"""`note(kind, **fields)`: tells of something."""


@final
class PlannerKeeper:
    """Starts, watches, restarts and gives up the hosts of a run's planner.

    Args:
        config: The run.
        hosts: Who runs them.
        subgoals: Where their subgoals go.
        status: Reads what the planner tells of itself.
        clock: The machine's.
        note: Gets what happens, for the log.
    """

    def __init__(
        self,
        config: SystemConfig,
        hosts: PlannerHosts,
        *,
        subgoals: Mailbox[LatentSubgoal],
        status: Callable[[], Status],
        clock: Clock,
        note: OnNote,
    ) -> None:
        self._config = config
        self._hosts = hosts
        self._subgoals = subgoals
        self._status = status
        self._clock = clock
        self._note = note
        self._lives = [PlannerLife(config.planner_life) for _ in range(hosts.count)]
        self._started_s = [math.inf] * hosts.count
        self._welcomed: list[int | None] = [None] * hosts.count
        self._signs: list[tuple[int, float]] = [(0, -math.inf)] * hosts.count
        """The last sign of life of each host that waits, and when it was seen first."""
        self._digest: str | None = None
        self._seen_subgoal = -1
        self._seen_failures: tuple[int, int] = (0, 0)
        self._told: list[str] = [""] * hosts.count
        self._transitions: deque[dict[str, Any]] = deque(maxlen=MAX_TRANSITIONS)
        self.set_up_problem = ""
        """Why there is nothing to wait for at the start of a run; empty where there is none."""

    @property
    def state(self) -> LifeState:
        """How the planner is: as the best of its hosts."""
        return state_of_all(self._lives)

    def look(self) -> None:
        """Take in what has happened, and act. Called often."""
        self._hosts.look()
        for index in range(self._hosts.count):
            for event in self._events(index):
                self._handle(index, event)

    def _events(self, index: int) -> list[LifeEvent]:
        """What has happened to a host since the last look."""
        now_s = self._clock.now_s()
        life, end = self._lives[index], self._hosts.end(index)
        passed = Passed(now_s=now_s)
        if life.state in ("restarting", "failed"):
            return [passed]
        if end is not None:
            if not end.set_up:
                self.set_up_problem = end.reason
            return [Died(now_s=now_s, reason=end.reason), passed]
        pid = self._hosts.pid(index)
        if pid is None or self._welcomed[index] != pid:
            return self._shake_hands(index, pid, now_s)
        if pid != self._subgoals.living_writer():
            return [self._wait_of(index, pid, now_s), passed]
        self._signs[index] = (0, now_s)
        return [*self._work_of(pid, now_s), passed]

    def _wait_of(self, index: int, pid: int, now_s: float) -> Beat:
        """What a host that waits for its turn has shown: that it lives. Told by change: its clock isn't this one."""
        sign = last_sign(self._config.folder, pid)
        if sign != self._signs[index][0]:
            self._signs[index] = (sign, now_s)
        return Beat(now_s=now_s, age_s=now_s - self._signs[index][1])

    def _shake_hands(self, index: int, pid: int | None, now_s: float) -> list[LifeEvent]:
        loading = Beat(now_s=now_s, age_s=now_s - self._started_s[index], loading=True)
        if pid is None:
            return [loading]
        try:
            hello = read_hello(self._config.folder, pid)
            if hello is None:
                return [loading]
            problem = hello.problem(self._config.subgoal, self._digest)
        except BridgeError as error:
            problem, hello = str(error), None
        if problem is not None or hello is None:
            self.set_up_problem = f"the planner's host was refused: {problem}"
            return [Refused(now_s=now_s, reason=self.set_up_problem)]
        self._digest = hello.digest
        self._welcomed[index], self._signs[index] = pid, (0, now_s)
        welcome(self._config.folder, pid)
        return [Passed(now_s=now_s)]

    def _work_of(self, pid: int, now_s: float) -> list[LifeEvent]:
        """What the host that plans has shown."""
        events: list[LifeEvent] = []
        stamps = self._subgoals.peek()
        # What a host before it left behind is not its own.
        if stamps is not None and stamps.epoch == self._subgoals.epoch and stamps.sequence > self._seen_subgoal:
            self._seen_subgoal = stamps.sequence
            events.append(Accepted(now_s=now_s))
        status = self._status()
        if status.get("pid") == pid:
            # An outage is that of a relay's link: a reason to tell, and no failed plan.
            failures = (pid, sum(int(status.get(name, 0)) for name in ("failures", "refused", "outages")))
            if failures != self._seen_failures and failures[1] > 0:
                in_a_row = int(status.get("failures_in_a_row", 0))
                events.append(PlanFailed(now_s=now_s, reason=str(status.get("problem", "")), in_a_row=in_a_row))
            self._seen_failures = failures
        events.append(Beat(now_s=now_s, age_s=self._subgoals.heartbeat_age_s()))
        return events

    def _handle(self, index: int, event: LifeEvent) -> None:
        life = self._lives[index]
        before, decision = life.state, life.handle(event)
        if life.state != before:
            self._tell_transition(index, before, decision)
        if decision.action == "start":
            self._start(index)
        elif decision.action == "kill":
            self._tell_once(index, f"{decision.reason}: killed")
            self._hosts.kill(index)
        elif decision.action == "wait":
            soon = "at once" if decision.delay_s == 0 else f"in {decision.delay_s:.1f} s"
            self._bury(index, f"{decision.reason}; restart {soon}")
        elif decision.action == "give_up":
            self._bury(index, f"{decision.reason}; given up")
            self._hosts.kill(index)

    def _start(self, index: int) -> None:
        now_s = self._clock.now_s()
        try:
            self._hosts.start(index)
        except OSError as error:
            self._handle(index, Died(now_s=now_s, reason=f"it cannot be started: {error}"))
            return
        self._started_s[index] = now_s
        self._handle(index, Began(now_s=now_s))

    def _bury(self, index: int, what: str) -> None:
        """Note an end, and forget what the host had said."""
        pid, self._welcomed[index] = self._welcomed[index], None
        if pid is not None:
            forget(self._config.folder, pid)
        self._tell_once(index, what)
        self._told[index] = ""

    def _tell_once(self, index: int, what: str) -> None:
        if self._told[index] != what:
            self._told[index] = what
            self._note("fault", part="planner", host=index, detail=what)

    def _tell_transition(self, index: int, before: LifeState, decision: LifeDecision) -> None:
        reason = decision.reason or ("" if before == "restarting" else self._lives[index].reason)
        if self._lives[index].state in ("starting", "ready"):
            reason = ""
        fields = {"host": index, "before": before, "state": self._lives[index].state, "reason": reason}
        self._transitions.append({"stamp_s": self._clock.now_s(), **fields})
        self._note("planner_state", part="planner", **fields)

    def summary(self) -> dict[str, Any]:
        """How the planner is, for a status: small, and the same while nothing happens."""
        hosts = [
            {
                "state": life.state,
                "loaded": welcomed is not None,
                "restarts": life.restarts,
                "hangs": life.hangs,
                "reason": life.reason,
            }
            for life, welcomed in zip(self._lives, self._welcomed, strict=True)
        ]
        best = min(hosts, key=lambda host: host["state"] != self.state)
        return {
            "state": self.state,
            "restarts": sum(life.restarts for life in self._lives),
            "hangs": sum(life.hangs for life in self._lives),
            "reason": best["reason"],
            "hosts": hosts,
        }

    def report(self) -> dict[str, Any]:
        """The summary, and every change of state."""
        return {**self.summary(), "transitions": list(self._transitions)}
