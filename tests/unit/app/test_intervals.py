"""Intervals against published values, counting, and their own properties."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.app.intervals import mcnemar_p, mean_interval, paired_difference_interval, wilson_interval


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


PAIRS = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        # Altman, Machin, Bryant and Gardner, Statistics with Confidence (2000), table 6.2.
        ((14, 5, 0, 22), 0.011, 0.226),
        # Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
        ((59, 6, 16, 80), -0.119, -0.005),
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_published_differences(pairs: tuple[int, int, int, int], low: float, high: float) -> None:
    assert paired_difference_interval(*pairs) == pytest.approx((low, high), abs=5e-4)


@given(PAIRS)
def test_it_holds_the_difference_and_mirrors(pairs: tuple[int, int, int, int]) -> None:
    both, only_first, only_second, neither = pairs
    low, high = paired_difference_interval(*pairs)
    difference = (only_first - only_second) / sum(pairs)
    assert -1.0 <= low <= difference + 1e-12
    assert difference - 1e-12 <= high <= 1.0
    exchanged = paired_difference_interval(both, only_second, only_first, neither)
    assert (-exchanged[1], -exchanged[0]) == pytest.approx((low, high), abs=1e-12)


def _tables(count: int) -> Iterator[tuple[int, int, int, int]]:
    for a, b, c in product(range(count + 1), repeat=3):
        if a + b + c <= count:
            yield a, b, c, count - a - b - c


@pytest.mark.parametrize("chances", [(0.6, 0.2, 0.1, 0.1), (0.85, 0.1, 0.02, 0.03), (0.3, 0.2, 0.2, 0.3)])
def test_it_covers_as_often_as_it_says(chances: tuple[float, float, float, float]) -> None:
    """Every table of 25 pairs, weighed by its probability."""
    count, true = 25, chances[1] - chances[2]
    covered = 0.0
    for table in _tables(count):
        low, high = paired_difference_interval(*table)
        ways = math.factorial(count) / math.prod(math.factorial(each) for each in table)
        covered += (low <= true <= high) * ways * math.prod(p**n for p, n in zip(chances, table, strict=True))
    assert 0.935 < covered < 0.99


@pytest.mark.parametrize("pairs", [(0, 0, 0, 0), (3, -1, 2, 2)])
def test_no_table_is_refused(pairs: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no table"):
        paired_difference_interval(*pairs)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (1, 7), (6, 6), (4, 9)])
def test_mcnemar_is_what_exchanging_pairs_gives(first: int, second: int) -> None:
    """Of all ways in which a fair coin decides each pair, those at least as one-sided."""
    unlike = first + second
    ways = [abs(2 * sum(coins) - unlike) >= abs(first - second) for coins in product((0, 1), repeat=unlike)]
    assert mcnemar_p(first, second) == pytest.approx(sum(ways) / len(ways))


def test_mcnemar_takes_many_pairs() -> None:
    assert mcnemar_p(700, 700) == 1.0
    assert 0 < mcnemar_p(600, 800) < 1e-6
    with pytest.raises(ValueError, match="no counts"):
        mcnemar_p(-1, 2)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    """Of 30 values of a skewed distribution, a little less often."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(150):
        low, high = mean_interval(rng.exponential(1.0, size=30).tolist()) or (0.0, 0.0)
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 150 <= 0.96
    assert mean_interval([2.0]) is None
    assert mean_interval([2.0, 2.0]) == [2.0, 2.0]
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
