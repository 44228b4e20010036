"""A planner's life keeps its promises whatever happens in whatever order, and whoever carries out its decisions."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dualsys.planner_life import (
    Accepted,
    Beat,
    Began,
    Died,
    LifeDecision,
    LifeEvent,
    Passed,
    PlanFailed,
    PlannerLife,
    Refused,
)
from dualsys.restarts import RestartBudget
from dualsys.settings import PlannerLifeConfig, RestartConfig

CONFIG = PlannerLifeConfig()
STATES = {"starting", "ready", "stale", "hung", "restarting", "failed"}

TIMES = st.floats(0, 400)
STEPS = st.floats(0, 4) | st.sampled_from([0.0, 0.05, 5.0, 61.0])
REASONS = st.just("why")
ANYTHING: st.SearchStrategy[LifeEvent] = st.one_of(
    st.builds(Began, now_s=TIMES),
    st.builds(Died, now_s=TIMES, reason=REASONS),
    st.builds(Accepted, now_s=TIMES),
    st.builds(PlanFailed, now_s=TIMES, reason=REASONS, in_a_row=st.integers(0, 30)),
    st.builds(Beat, now_s=TIMES, age_s=st.floats(0, 400) | st.just(float("inf")), loading=st.booleans()),
    st.builds(Refused, now_s=TIMES, reason=REASONS),
    st.builds(Passed, now_s=TIMES),
)
FATES = st.sampled_from(["die", "plan", "fail", "hang", "pass", "cannot start"])


@dataclass
class Host:
    """A host without a process: fate by fate, time by time; decisions are carried out at once."""

    life: PlannerLife = field(default_factory=lambda: PlannerLife(CONFIG))
    now_s: float = 0.0
    starts: list[float] = field(default_factory=list)
    """Times it was asked to start, the first aside."""
    healthy: list[tuple[float, float]] = field(default_factory=list)
    """Times of subgoals with nothing amiss between them."""
    can_start: bool = True

    def tell(self, event: LifeEvent) -> None:
        decision = self.life.handle(event)
        if decision.action == "start":
            self.starts.append(self.now_s)
            self.can_start, able = True, self.can_start
            self.tell(Began(now_s=self.now_s) if able else Died(now_s=self.now_s, reason="cannot be started"))
        elif decision.action == "kill":
            self.tell(Died(now_s=self.now_s, reason="killed"))

    def meet(self, fate: str, after_s: float) -> None:
        self.now_s += after_s
        self.tell(Passed(now_s=self.now_s))
        is_up = self.life.state in ("starting", "ready", "stale")
        if fate == "plan" and is_up:
            is_going_on = self.life.state in ("ready", "stale") and self.healthy
            begin_s = self.healthy[-1][0] if is_going_on else self.now_s
            self.healthy.append((begin_s, self.now_s))
            self.tell(Accepted(now_s=self.now_s))
        elif fate == "die" and is_up:
            self.tell(Died(now_s=self.now_s, reason="killed by SIGKILL"))
        elif fate == "fail" and is_up:
            self.tell(PlanFailed(now_s=self.now_s, reason="nan", in_a_row=CONFIG.max_failures))
        elif fate == "hang" and is_up:
            self.tell(Beat(now_s=self.now_s, age_s=CONFIG.hangs_after_s + 0.1))
        elif fate == "cannot start":
            self.can_start = False


@given(st.lists(st.tuples(FATES, STEPS), max_size=60))
def test_never_more_than_five_restarts_in_sixty_seconds_without_a_healthy_planner(
    fates: list[tuple[str, float]],
) -> None:
    host = Host()
    host.meet("pass", 0.0)
    host.starts.clear()
    for fate, after_s in fates:
        host.meet(fate, after_s)
    limits = CONFIG.restart
    for sixth in range(limits.max_restarts, len(host.starts)):
        begin_s, end_s = host.starts[sixth - limits.max_restarts], host.starts[sixth]
        was_healthy = any(
            last_s - first_s >= CONFIG.healthy_s and begin_s <= last_s <= end_s for first_s, last_s in host.healthy
        )
        assert was_healthy or end_s - begin_s >= limits.window_s


@given(st.lists(ANYTHING, max_size=60), st.lists(ANYTHING, max_size=10))
def test_failed_is_left_by_nothing(before: list[LifeEvent], after: list[LifeEvent]) -> None:
    life = PlannerLife(CONFIG)
    for event in before:
        life.handle(event)
        assert life.state in STATES
    life.handle(Refused(now_s=400.0, reason="another version"))
    for event in after:
        assert life.handle(event) == LifeDecision()
        assert life.state == "failed"


@given(st.lists(ANYTHING, max_size=60))
def test_only_age_makes_it_hung_and_a_hung_one_is_killed_until_it_dies(events: list[LifeEvent]) -> None:
    life = PlannerLife(CONFIG)
    for event in events:
        before, decision = life.state, life.handle(event)
        if life.state == "hung" and before != "hung":
            assert isinstance(event, Beat)
            assert event.age_s > (CONFIG.starts_within_s if event.loading else CONFIG.hangs_after_s)
        if life.state == "hung":
            assert decision.action == "kill"
        if before == "hung" and life.state != "hung":
            assert isinstance(event, (Died, Refused))


@given(st.lists(STEPS, max_size=30), st.builds(RestartConfig, first_delay_s=STEPS, longest_delay_s=st.just(8.0)))
def test_the_back_off_never_shortens_until_it_is_refilled(steps_s: list[float], config: RestartConfig) -> None:
    budget, now_s, last_s = RestartBudget(config), 0.0, 0.0
    assert budget.delay_s(now_s) == (0.0 if config.max_restarts else None)
    for step_s in steps_s:
        now_s += step_s
        delay_s = budget.delay_s(now_s)
        if delay_s is None:
            assert budget.in_a_row >= config.max_restarts
            break
        assert last_s <= delay_s <= config.longest_delay_s
        last_s = delay_s
        now_s += delay_s
        budget.spend(now_s)
    budget.refill()
    assert budget.delay_s(now_s) == 0.0


@given(st.lists(st.tuples(FATES, STEPS), max_size=40))
def test_a_healthy_period_gives_all_restarts_back(fates: list[tuple[str, float]]) -> None:
    host = Host()
    for fate, after_s in fates:
        host.meet(fate, after_s)
    host.can_start = True
    host.meet("pass", 10.0)  # beyond any back-off
    if host.life.state == "failed":
        return
    for _ in range(7):
        host.meet("plan", 1.0)
    assert host.life.state == "ready"
    decision = host.life.handle(Died(now_s=host.now_s, reason="killed"))
    assert (decision.action, decision.delay_s) == ("wait", 0.0)
