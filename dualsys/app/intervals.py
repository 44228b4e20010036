"""Uncertainty of success rates, and of means."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
_SAMPLES = 4000


def wilson_interval(successes: int, count: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a proportion: holds at 0 and 1 and for few trials, where the normal one does not.

    Source: E. B. Wilson, JASA 22 (1927); the form of Brown, Cai and DasGupta, Statistical Science 16 (2001), eq. 4.

    Raises:
        ValueError: no trials, or successes outside 0 to `count`.
    """
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(f"{successes} successes of {count} trials is no proportion")
    rate = successes / count
    denominator = 1.0 + z * z / count
    centre = (rate + z * z / (2 * count)) / denominator
    half = z / denominator * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


class Pairs(NamedTuple):
    """Two outcomes each of the same trials, counted."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> Self:
        """Outcomes of trials in the same order. Raises `ValueError` where one has more."""
        found = list(zip(map(bool, first), map(bool, second), strict=True))
        return cls(*(found.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


def paired_difference_interval(
    both: int, only_first: int, only_second: int, neither: int, z: float = Z95
) -> tuple[float, float]:
    """Interval of the difference of two success rates, first less second, on the same trials.

    Wilson's intervals of the two rates, put together with the correlation of the pairs: holds near 0 and 1 as those do.
    Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10.

    Args:
        both: Trials in which both succeed.
        only_first: Trials in which the first alone does.
        only_second: Trials in which the second alone does.
        neither: Trials in which both fail.
        z: Quantile of the normal distribution.

    Raises:
        ValueError: no trials, or a negative count.
    """
    count = both + only_first + only_second + neither
    if count < 1 or min(both, only_first, only_second, neither) < 0:
        raise ValueError(f"{both}, {only_first}, {only_second} and {neither} pairs are no table")
    first, second = (both + only_first) / count, (both + only_second) / count
    low_1, high_1 = wilson_interval(both + only_first, count, z)
    low_2, high_2 = wilson_interval(both + only_second, count, z)
    phi = _continuity_corrected_phi(both, only_first, only_second, neither)
    down_1, up_1, down_2, up_2 = first - low_1, high_1 - first, second - low_2, high_2 - second
    below = math.sqrt(max(0.0, down_1**2 - 2 * phi * down_1 * up_2 + up_2**2))
    above = math.sqrt(max(0.0, up_1**2 - 2 * phi * up_1 * down_2 + down_2**2))
    return max(-1.0, first - second - below), min(1.0, first - second + above)


def _continuity_corrected_phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the pairs; 0 where a rate is 0 or 1."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if not margins:
        return 0.0
    excess = float(both * neither - only_first * only_second)
    if excess > 0:
        excess = max(0.0, excess - (both + only_first + only_second + neither) / 2)
    return excess / math.sqrt(margins)


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """95 % interval of a mean: the percentiles of the means of samples drawn from the values, the same each time.

    It assumes no distribution; of ten values it is a little too short. None: of a single value nothing is known.
    """
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(0).integers(len(values), size=(_SAMPLES, len(values)))
    low, high = np.quantile(np.array(values, dtype=np.float64)[drawn].mean(axis=1), (0.025, 0.975))
    return [float(low), float(high)]


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided p that both succeed equally often: of the trials in which one alone does, each has half.

    Raises `ValueError` for negative counts.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"{only_first} and {only_second} are no counts")
    unlike = only_first + only_second
    tail = sum(math.comb(unlike, index) for index in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << unlike))
