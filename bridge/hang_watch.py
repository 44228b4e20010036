"""Who gives no sign of life any more, told by the age of what it says about itself, is killed."""

import os
import signal
from contextlib import suppress
from typing import final

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.reporter import Status

LOOKS = 10
"""In a row at which it must be found silent: what stopped all of a machine stopped the watcher, too, and ages are the
first thing it sees afterwards. So there is time to move again."""


@final
class HangWatch:
    """Of one process; look at it several times a second.

    Args:
        box: Its status box.
        hangs_after_s: Without a sign for longer than this, it hangs.
    """

    def __init__(self, box: Mailbox[Status], hangs_after_s: float) -> None:
        self._box = box
        self._hangs_after_s = hangs_after_s
        self._silent = 0

    def look(self) -> str:
        """Kill the process where it hangs, and say so; empty while it doesn't, or has ended."""
        age_s, pid = self._box.heartbeat_age_s(), self._box.living_writer()
        self._silent = self._silent + 1 if pid is not None and age_s > self._hangs_after_s else 0
        if pid is None or self._silent < LOOKS:
            return ""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"process {pid} gave no sign of life for {age_s:.1f} s: killed"
