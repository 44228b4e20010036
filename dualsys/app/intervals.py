"""Uncertainty of success rates."""

import math

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


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
