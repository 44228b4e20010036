"""What a loop tells about itself, a few times a second, in its status box."""

import os
from collections.abc import Callable
from typing import Any

from dualsys.bridge.latest_value import Mailbox
from dualsys.protocols import Clock

Status = dict[str, Any]

STATUS_PERIOD_S = 0.25


class Reporter:
    """Publishes counters and readings of one loop. Late calls are fine; early ones cost a comparison."""

    def __init__(self, box: Mailbox[Status], clock: Clock) -> None:
        self._box = box
        self._clock = clock
        self._sequence = box.last_sequence
        self._next_s = 0.0

    def report(self, make_status: Callable[[], Status]) -> None:
        """Publish when it is time; only then is the status made."""
        now_s = self._clock.now_s()
        if now_s >= self._next_s:
            self._next_s = now_s + STATUS_PERIOD_S
            self.publish(make_status())

    def publish(self, status: Status) -> None:
        """Publish now."""
        self._sequence += 1
        now_s = self._clock.now_s()
        self._box.write({"pid": os.getpid(), **status}, sequence=self._sequence, observation_stamp_s=now_s)
