"""Which part has failed since the last look, from what the parts count themselves."""

from collections.abc import Mapping
from typing import final

from dualsys.bridge.reporter import Status

_COUNTS = ("failures", "refused")


@final
class FailureWatch:
    """Remembers the counts of each part, and of which process they were: a new one begins at zero."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int | None, int]] = {}

    def look(self, statuses: Mapping[str, Status]) -> list[str]:
        """Names of those whose counts have risen."""
        risen = []
        for name, status in statuses.items():
            if not status:
                continue
            pid, count = status.get("pid"), sum(int(status.get(each, 0)) for each in _COUNTS)
            known_pid, known = self._seen.get(name, (pid, 0))
            if count > (known if known_pid == pid else 0):
                risen.append(name)
            self._seen[name] = (pid, count)
        return risen
