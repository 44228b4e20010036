import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.clock import Grid, MonotonicClock, SimulatedClock, Ticker
from dualsys.protocols import Clock


def test_a_grid_does_not_drift() -> None:
    grid = Grid(origin_s=10.0, period_s=0.002)
    assert grid.point_s(500_000) == 1010.0


@given(st.integers(0, 10**7), st.floats(1e-4, 10), st.floats(0, 1e4))
def test_every_point_is_on_its_own_index(index: int, period_s: float, origin_s: float) -> None:
    grid = Grid(origin_s=origin_s, period_s=period_s)
    point_s = grid.point_s(index)
    assert grid.index_at(point_s) == index
    assert grid.index_at(point_s + 0.5 * period_s) == index
    assert grid.index_at(point_s - 0.5 * period_s) == index - 1


def test_missed_points_are_counted_not_replayed() -> None:
    ticker = Ticker(Grid(origin_s=0.0, period_s=1.0))
    answers = {now_s: ticker.due(now_s) for now_s in (-0.5, 0.0, 0.5, 1.0, 4.2, 4.9, 5.0)}
    assert [now_s for now_s, due in answers.items() if due] == [0.0, 1.0, 4.2, 5.0]
    assert ticker.skipped == 2
    assert ticker.next_s == 6.0


@given(st.lists(st.floats(0, 3), max_size=50))
def test_every_point_is_either_answered_or_skipped(gaps_s: list[float]) -> None:
    ticker, now_s, answered = Ticker(Grid(origin_s=0.0, period_s=1.0)), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        answered += ticker.due(now_s)
    assert answered + ticker.skipped == round(ticker.next_s)


def test_the_simulated_clock_never_goes_back() -> None:
    clock: Clock = SimulatedClock(1.0)
    clock.sleep_until_s(3.0)
    clock.sleep_until_s(2.0)
    assert clock.now_s() == 3.0


def test_the_monotonic_clock_sleeps_to_the_deadline_and_not_past_ones() -> None:
    clock: Clock = MonotonicClock()
    begin_s = clock.now_s()
    clock.sleep_until_s(begin_s + 0.02)
    assert clock.now_s() >= begin_s + 0.02
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: pytest.fail("slept for a deadline that had passed"))
        clock.sleep_until_s(begin_s)
