"""Warnings of what may fail ten times a second for days: each reason in full once, and then ever more rarely."""

import logging
import re
from typing import final

_MOST_REASONS = 100
"""Told apart; further ones count as one."""


@final
class RepeatedWarnings:
    """Warns at the first time of a reason, with its traceback, and at the 10th, 100th, 1000th, in a line.

    Reasons that differ in numbers alone are one.

    Args:
        logger: Gets the warnings.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._counts: dict[str, int] = {}

    def tell(self, reason: str, error: Exception | None = None) -> None:
        """Something failed, again perhaps."""
        key = re.sub(r"\d+", "#", reason)
        if key not in self._counts and len(self._counts) >= _MOST_REASONS:
            key = ""
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count == 1:
            self._logger.warning("%s", reason, exc_info=error)
        elif re.fullmatch("10+", str(count)):
            self._logger.warning("%s (%d times by now)", reason, count)
