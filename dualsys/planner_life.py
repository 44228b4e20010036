"""The life of a planner's host, as a deterministic state machine: what happens goes in, what to do comes out.

                  began               subgoal           none for stale_after_s
    restarting ----------> starting ----------> ready -------------------------> stale
       ^    |                 |                   |  ^------------------------'    |
       |    |                 |                   |           subgoal              |
       |    | no restart      +-------------------+--------------------------------+
       |    | is left         |                           |                        |
       |    v                 | died, or killed after     | no sign of life        | its hello was
       |  failed <---.        | too many failed plans     v for hangs_after_s      | refused
       |             |        |                         hung --. (killed)          v
       '-------------(--------'<-------------------------------'  died           failed
         died        '-- no restart is left                                        nothing leads out

Restarts back off and have limits (`dualsys.restarts`). Once subgoals have come for `healthy_s` without a death between,
however far apart, their count begins anew. A planner that has failed is planned with again in the next run.
Whoever carries out the decisions tells by further events what became of them: after `start` comes `Began` or `Died`,
after `kill` comes `Died`. No clocks and no processes here, and `handle` never raises.
"""

from dataclasses import dataclass
from typing import Literal, final

from dualsys.restarts import RestartBudget
from dualsys.settings import PlannerLifeConfig

LifeState = Literal["starting", "ready", "stale", "hung", "restarting", "failed"]

BEST_FIRST: tuple[LifeState, ...] = ("ready", "stale", "starting", "hung", "restarting", "failed")
"""Of several hosts the first of these is how the planner is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """Its process was started."""

    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """Its process has ended, or could not be started."""

    now_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A subgoal of its was published."""

    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFailed:
    """A plan gave no subgoal: it raised, or what it returned was refused."""

    now_s: float
    reason: str
    in_a_row: int
    """Failed plans since the last good one, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """How long ago its last sign of life was."""

    now_s: float
    age_s: float
    loading: bool = False
    """Whether it still loads; then the age counts from its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It speaks another version or emits other subgoals: another start would not help."""

    now_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Time has passed."""

    now_s: float


LifeEvent = Began | Died | Accepted | PlanFailed | Beat | Refused | Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeDecision:
    """What to do."""

    action: Literal["nothing", "start", "wait", "kill", "give_up"] = "nothing"
    """`wait`: it will be started after `delay_s`. `give_up`: its process is ended, and no other started."""
    delay_s: float = 0.0
    reason: str = ""


_NOTHING = LifeDecision()


@final
class PlannerLife:
    """One host's life. It begins as `restarting`: the first start is at once, and no restart.

    Args:
        config: Ages and limits.
    """

    def __init__(self, config: PlannerLifeConfig) -> None:
        self._config = config
        self._budget = RestartBudget(config.restart)
        self._now_s = float("-inf")
        self._start_at_s = float("-inf")
        self._starts_anew = False
        self._condemned = ""
        self._accepted_s = float("-inf")
        self._plans_since_s: float | None = None
        """Time of the first subgoal since its start."""
        self.state: LifeState = "restarting"
        self.reason = ""
        """The newest misfortune, in words."""
        self.restarts = 0
        """Starts that followed a death, over its whole life."""
        self.hangs = 0

    def handle(self, event: LifeEvent) -> LifeDecision:
        """Take in what happened; what to do about it."""
        self._now_s = max(self._now_s, event.now_s)
        if self.state == "failed":
            return _NOTHING
        if isinstance(event, Refused):
            return self._fail(event.reason)
        if self.state == "restarting":
            return self._handle_while_gone(event)
        decision = self._handle_while_running(event)
        self._pass_time()
        return decision

    def _handle_while_gone(self, event: LifeEvent) -> LifeDecision:
        if isinstance(event, Began):
            self.state = "starting"
            if self._starts_anew:
                self.restarts += 1
                self._budget.spend(self._now_s)
            return _NOTHING
        if isinstance(event, Died) and self._now_s >= self._start_at_s:
            # It was asked to start and could not: that was a restart as well.
            self._budget.spend(self._now_s)
            return self._bury(event.reason)
        return LifeDecision(action="start") if self._now_s >= self._start_at_s else _NOTHING

    def _handle_while_running(self, event: LifeEvent) -> LifeDecision:
        if isinstance(event, Died):
            return self._bury(self._condemned or event.reason)
        if self._condemned:
            return LifeDecision(action="kill", reason=self._condemned)
        if isinstance(event, Accepted):
            self._accept()
        elif isinstance(event, PlanFailed):
            self.reason = event.reason
            if event.in_a_row >= self._config.max_failures:
                return self._condemn(f"{event.in_a_row} plans in a row failed; the last: {event.reason}")
        elif isinstance(event, Beat):
            limit_s = self._config.starts_within_s if event.loading else self._config.hangs_after_s
            if event.age_s > limit_s:
                self.state, self.hangs = "hung", self.hangs + 1
                what = "has not loaded within" if event.loading else "gave no sign of life for"
                return self._condemn(f"it {what} {event.age_s:.1f} s")
        return _NOTHING

    def _accept(self) -> None:
        self.state, self._accepted_s = "ready", self._now_s
        if self._plans_since_s is None:
            self._plans_since_s = self._now_s
        if self._now_s - self._plans_since_s >= self._config.healthy_s:
            self._budget.refill()

    def _pass_time(self) -> None:
        """Become stale by the time that has passed."""
        if self.state == "ready" and self._now_s - self._accepted_s > self._config.stale_after_s:
            self.state = "stale"

    def _condemn(self, reason: str) -> LifeDecision:
        self.reason = self._condemned = reason
        return LifeDecision(action="kill", reason=reason)

    def _bury(self, reason: str) -> LifeDecision:
        self._condemned, self._starts_anew, self._plans_since_s = "", True, None
        delay_s = self._budget.delay_s(self._now_s)
        if delay_s is None:
            return self._fail(f"{reason}; {self._budget.exhausted()}")
        self.state, self.reason, self._start_at_s = "restarting", reason, self._now_s + delay_s
        return LifeDecision(action="wait", delay_s=delay_s, reason=reason)

    def _fail(self, reason: str) -> LifeDecision:
        self.state, self.reason = "failed", reason
        return LifeDecision(action="give_up", reason=reason)


def state_of_all(lives: list[PlannerLife]) -> LifeState:
    """How the planner is that several hosts keep: as the best of them."""
    return min((life.state for life in lives), key=BEST_FIRST.index)
