"""A planner's life, step by step."""

import pytest

from dualsys.planner_life import (
    Accepted,
    Beat,
    Began,
    Died,
    LifeEvent,
    LifeState,
    Passed,
    PlanFailed,
    PlannerLife,
    Refused,
    state_of_all,
)
from dualsys.settings import PlannerLifeConfig, RestartConfig

CONFIG = PlannerLifeConfig(hangs_after_s=3.0, starts_within_s=20.0, max_failures=3)


def started(config: PlannerLifeConfig = CONFIG) -> PlannerLife:
    life = PlannerLife(config)
    assert life.handle(Passed(now_s=0.0)).action == "start"
    life.handle(Began(now_s=0.0))
    return life


def state_after(life: PlannerLife, event: LifeEvent) -> LifeState:
    life.handle(event)
    return life.state


def test_it_is_ready_with_its_first_subgoal_stale_without_and_ready_again() -> None:
    life = started()
    assert life.state == "starting"
    assert state_after(life, Accepted(now_s=4.0)) == "ready"
    assert state_after(life, Passed(now_s=6.0)) == "ready"
    assert state_after(life, Passed(now_s=6.1)) == "stale"
    assert state_after(life, Accepted(now_s=7.0)) == "ready"
    assert life.restarts == 0


def test_one_that_dies_young_is_given_up_after_five_restarts_each_later_than_the_one_before() -> None:
    life, now_s, delays_s = started(), 0.0, []
    while life.state != "failed":
        now_s += 1.0
        decision = life.handle(Died(now_s=now_s, reason="was killed by SIGSEGV"))
        if decision.action == "wait":
            delays_s.append(decision.delay_s)
            assert life.handle(Passed(now_s=now_s + 0.9 * decision.delay_s)).action == (
                "nothing" if decision.delay_s else "start"
            )
            now_s += decision.delay_s
            assert life.handle(Passed(now_s=now_s)).action == "start"
            life.handle(Began(now_s=now_s))
    assert delays_s == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert decision.action == "give_up"
    assert life.reason == "was killed by SIGSEGV; 5 restarts within 60 s did not help"
    assert life.restarts == 5


def test_one_that_takes_long_to_die_has_its_limit_in_a_row() -> None:
    life = started(PlannerLifeConfig(restart=RestartConfig(max_in_a_row=7)))
    now_s = 0.0
    for _ in range(7):
        now_s += 30.0
        assert life.handle(Died(now_s=now_s, reason="ended with status 1")).action == "wait"
        now_s += 8.0
        assert life.handle(Passed(now_s=now_s)).action == "start"
        life.handle(Began(now_s=now_s))
    assert life.handle(Died(now_s=now_s + 30.0, reason="ended with status 1")).action == "give_up"
    assert life.reason == "ended with status 1; 7 restarts in a row did not help"


def test_a_slow_planner_that_plans_for_long_enough_is_healthy_however_often_it_is_stale() -> None:
    """A subgoal every 2.5 s is stale after 2 s each time; dead every 100 s, it is started again at once each time."""
    life, now_s = started(), 0.0
    for _ in range(30):
        for _ in range(40):
            now_s += 2.5
            assert state_after(life, Passed(now_s=now_s - 0.1)) in ("starting", "stale")
            assert state_after(life, Accepted(now_s=now_s)) == "ready"
        decision = life.handle(Died(now_s=now_s, reason="was killed by SIGKILL"))
        assert (decision.action, decision.delay_s) == ("wait", 0.0)
        life.handle(Passed(now_s=now_s))
        life.handle(Began(now_s=now_s))
    assert life.restarts == 30


def test_subgoals_of_two_lives_do_not_make_one_healthy() -> None:
    life = started()
    delays_s = []
    for death in range(1, 4):
        life.handle(Accepted(now_s=10.0 * death - 4.0))
        life.handle(Accepted(now_s=10.0 * death - 0.1))  # 3.9 s of planning
        delays_s.append(life.handle(Died(now_s=10.0 * death, reason="was killed")).delay_s)
        life.handle(Passed(now_s=10.0 * death + 1.0))
        life.handle(Began(now_s=10.0 * death + 1.0))
    assert delays_s == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("loading", "limit_s"), [(False, 3.0), (True, 20.0)])
def test_age_makes_it_hung(loading: bool, limit_s: float) -> None:
    life = started()
    assert life.handle(Beat(now_s=30.0, age_s=limit_s, loading=loading)).action == "nothing"
    decision = life.handle(Beat(now_s=30.1, age_s=limit_s + 0.1, loading=loading))
    assert (decision.action, life.state, life.hangs) == ("kill", "hung", 1)
    assert life.handle(Accepted(now_s=30.2)).action == "kill"  # it doesn't talk itself out of it
    assert life.handle(Died(now_s=30.3, reason="was killed by SIGKILL")).action == "wait"
    assert life.state == "restarting"
    assert life.reason.startswith("it has not loaded" if loading else "it gave no sign of life")


def test_too_many_failed_plans_in_a_row_have_it_killed_for_that_reason() -> None:
    life = started()
    life.handle(PlanFailed(now_s=1.0, reason="its tokens are not finite", in_a_row=2))
    assert (life.state, life.reason) == ("starting", "its tokens are not finite")
    decision = life.handle(PlanFailed(now_s=1.2, reason="its tokens are not finite", in_a_row=3))
    assert decision.action == "kill"
    assert life.hangs == 0
    life.handle(Died(now_s=1.3, reason="was killed by SIGKILL"))
    assert life.reason == "3 plans in a row failed; the last: its tokens are not finite"


def test_another_version_is_no_matter_of_restarts() -> None:
    life = started()
    decision = life.handle(Refused(now_s=2.0, reason="it speaks wire version 2, this run wire version 1"))
    assert (decision.action, life.state) == ("give_up", "failed")


def test_news_from_before_a_death_raise_nobody() -> None:
    life = started()
    life.handle(Accepted(now_s=1.0))
    life.handle(Died(now_s=2.0, reason="was killed by SIGKILL"))
    life.handle(Accepted(now_s=2.0))
    assert life.state == "restarting"


def test_one_that_cannot_even_be_started_is_given_up_as_well() -> None:
    life, now_s = started(), 1.0
    life.handle(Died(now_s=now_s, reason="was killed"))
    while life.state != "failed":
        now_s += 10.0
        assert life.handle(Passed(now_s=now_s)).action == "start"
        life.handle(Died(now_s=now_s, reason="it cannot be started: no more processes"))
    assert now_s == 51.0


def test_of_several_hosts_the_best_counts() -> None:
    lives = [started(), started()]
    assert state_of_all(lives) == "starting"
    lives[1].handle(Accepted(now_s=1.0))
    lives[0].handle(Refused(now_s=1.0, reason="another version"))
    assert state_of_all(lives) == "ready"
    lives[1].handle(Passed(now_s=9.0))
    assert state_of_all(lives) == "stale"
