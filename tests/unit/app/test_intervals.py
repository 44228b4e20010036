"""Wilson intervals against published values and their own properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.app.intervals import wilson_interval


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(9, 10, 0.5958, 0.9821), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_known_values(successes: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_holds_the_rate_and_mirrors(trial: tuple[int, int]) -> None:
    successes, count = trial
    low, high = wilson_interval(successes, count)
    rounding = 1e-12
    assert 0.0 <= low <= successes / count + rounding
    assert successes / count - rounding <= high <= 1.0
    mirrored = wilson_interval(count - successes, count)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (3, 2), (-1, 5)])
def test_nonsense_is_refused(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(successes, count)
