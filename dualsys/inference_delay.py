"""How many rows the robot consumes while a chunk is made."""

import math
from collections import deque
from typing import final

WINDOW = 20
"""Chunks that are looked back on: two seconds at 10 Hz."""
SHARE = 0.9
"""Share of them that the estimate is not below: one slow chunk in ten may come after its prefix."""


@final
class InferenceDelay:
    """Estimate from the rows really consumed, never from time and a nominal rate.

    The largest of all would remember a model's first, slow call for ever; this forgets after `WINDOW` chunks. Before
    any rows were consumed, a first chunk's own lateness stands in.
    """

    def __init__(self) -> None:
        self._consumed: deque[float] = deque(maxlen=WINDOW)
        self._guess = 0.0

    def guess(self, rows: float) -> None:
        """What a first chunk took, whose rows nobody consumed."""
        self._guess = rows

    def add(self, consumed_rows: float) -> None:
        """A chunk arrived after so many rows."""
        self._consumed.append(consumed_rows)

    def rows(self) -> int:
        """Whole rows to expect."""
        if not self._consumed:
            return _whole(self._guess)
        ordered = sorted(self._consumed)
        return _whole(ordered[min(math.ceil(SHARE * len(ordered)), len(ordered)) - 1])


def _whole(rows: float) -> int:
    return max(0, math.ceil(rows - 1e-6))
