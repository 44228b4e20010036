"""Distributions and rates of what a run measures: ages, lateness, periods."""

import math
from typing import Any, final

import numpy as np

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


@final
class Histogram:
    """Counts of values in bins that grow by a fixed ratio: constant memory and time, whatever the length of the run.

    A percentile is exact to `resolution` of its value; count, mean and maximum are exact. Values below `smallest` share
    one bin, those beyond `largest` another, whose percentile is the maximum. Infinite ones and NaN count as `unusable`.

    Args:
        smallest: Lower end of the first bin.
        largest: Upper end of the last bin.
        resolution: Relative width of a bin.
    """

    def __init__(self, *, smallest: float = 1e-7, largest: float = 1e3, resolution: float = 0.01) -> None:
        self.count = 0
        self.unusable = 0
        self.maximum = -math.inf
        self._sum = 0.0
        self._smallest = smallest
        self._log_ratio = math.log1p(resolution)
        bins = math.ceil(math.log(largest / smallest) / self._log_ratio)
        self._counts = np.zeros(bins + 2, dtype=np.int64)

    def add(self, value: float) -> None:
        """Count a value. Never raises."""
        if not value < math.inf:
            self.unusable += 1
            return
        self.count += 1
        self._sum += value
        self.maximum = max(self.maximum, value)
        self._counts[self._bin(value)] += 1

    def merge(self, other: "Histogram") -> None:
        """Count all that another of the same bins has counted."""
        self.count += other.count
        self.unusable += other.unusable
        self.maximum = max(self.maximum, other.maximum)
        self._sum += other._sum
        self._counts += other._counts

    @property
    def mean(self) -> float:
        """Mean of the values; not a number when there are none."""
        return self._sum / self.count if self.count else math.nan

    def quantile(self, share: float) -> float:
        """Value that a share of all values do not exceed, to the resolution; not a number when there are none."""
        if not self.count:
            return math.nan
        rank = max(1, math.ceil(share * self.count))
        index = int(np.searchsorted(np.cumsum(self._counts), rank))
        if index == len(self._counts) - 1:
            return self.maximum
        upper = self._smallest * math.exp(index * self._log_ratio)
        return min(upper, self.maximum)

    def summary(self) -> dict[str, Any]:
        """`p50`, `p99`, `p99_9`, `max`, `mean` and `count`; None instead of values when there are none."""
        if not self.count:
            return dict.fromkeys((*QUANTILES, "max", "mean")) | {"count": 0}
        values = {name: self.quantile(share) for name, share in QUANTILES.items()}
        return values | {"max": self.maximum, "mean": self.mean, "count": self.count}

    def _bin(self, value: float) -> int:
        if value <= self._smallest:
            return 0
        index = math.ceil(math.log(value / self._smallest) / self._log_ratio)
        return min(index, len(self._counts) - 1)


@final
class Rate:
    """Events per second between the first and the last of them."""

    def __init__(self) -> None:
        self.count = 0
        self._first_s = math.nan
        self._last_s = math.nan

    def add(self, now_s: float) -> None:
        """Note an event."""
        if not self.count:
            self._first_s = now_s
        self._last_s = now_s
        self.count += 1

    @property
    def hz(self) -> float:
        """Mean rate; 0 before the second event."""
        span_s = self._last_s - self._first_s
        return (self.count - 1) / span_s if self.count > 1 and span_s > 0 else 0.0
