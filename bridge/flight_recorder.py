"""The last seconds before a fault, and the first after it, as a tape of their own."""

import logging
from collections import deque
from pathlib import Path
from typing import final

from dualsys.bridge.tape_file import TapeWriter, stamp_of
from dualsys.errors import TapeError
from dualsys.events import Started
from dualsys.tape import CarriedOver, Record, TapeHead

_LOGGER = logging.getLogger(__name__)

KEPT_S = 10.0
"""Before a fault."""
KEPT_FROM_START_S = 120.0
"""A tape can be replayed from an episode's start with nothing carried over: the newest is kept for so long."""
AFTER_S = 2.0
"""What a fault leads to, up to this long, is on the tape, too."""
MOST_TAPES = 20
"""Of one run; further faults are only counted."""


@final
class FlightRecorder:
    """Keeps the newest records in memory and writes them to `FOLDER/flight-NUMBER-PART.mcap` where something fails.

    Args:
        folder: Where tapes go; made when the first one is.
        head: What a replay needs.
    """

    def __init__(self, folder: Path, head: TapeHead) -> None:
        self._folder, self._head = folder, head
        self._kept: deque[tuple[float, Record]] = deque()
        self._starts: deque[float] = deque(maxlen=2)
        self._carried = CarriedOver()
        self._now_s = 0.0
        self._pending: tuple[float, str] | None = None
        self.faults = 0
        self.tapes: list[Path] = []
        """Written so far."""

    def add(self, record: Record) -> None:
        """Keep a record; those too old are let go."""
        stamp_s = stamp_of(record)
        if stamp_s == stamp_s:
            self._now_s = max(self._now_s, stamp_s)
        self._carried.see(record)
        if isinstance(record, Started) and not self._carried:
            self._starts.append(self._now_s)
        self._kept.append((self._now_s, record))
        self._let_go()
        if self._pending is not None and self._now_s >= self._pending[0] + AFTER_S:
            self.flush()

    def fault(self, part: str) -> None:
        """Something failed: a tape is written when what it leads to is on it. Another fault until then shares it."""
        self.faults += 1
        if self._pending is None:
            self._pending = (self._now_s, part)

    def flush(self) -> None:
        """Write what is waited for now. Never raises: a full disk must not end a run that goes on."""
        if self._pending is None:
            return
        _, part = self._pending
        self._pending = None
        if len(self.tapes) >= MOST_TAPES:
            return
        path = self._folder / f"flight-{len(self.tapes) + 1:02d}-{part}.mcap"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with TapeWriter(path, self._head) as tape:
                for _, record in self._kept:
                    tape.add(record)
        except (OSError, TapeError) as error:
            _LOGGER.warning("the flight recorder cannot write %s: %s", path, error)
            return
        self.tapes.append(path)
        _LOGGER.warning("a fault of the %s: the last seconds are in %s", part, path)

    def _let_go(self) -> None:
        oldest_s = self._now_s - KEPT_S
        starts = [start_s for start_s in self._starts if start_s >= self._now_s - KEPT_FROM_START_S]
        oldest_s = min([oldest_s, *starts])
        while self._kept and self._kept[0][0] < oldest_s:
            self._kept.popleft()
