"""The last seconds before a fault, and the first after it, as a tape of their own."""

import logging
import math
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, final

from dualsys.bridge.tape_file import TOPICS, TapeWriter
from dualsys.chunking import is_number, problem_of
from dualsys.errors import BridgeError, TapeError
from dualsys.events import ChunkArrived, EmergencyStop, Fault, Started
from dualsys.messages import ActionChunk, Command
from dualsys.tape import CarriedOver, Record, TapeHead

_LOGGER = logging.getLogger(__name__)

KEPT_S = 10.0
"""Before a fault."""
KEPT_FROM_START_S = 120.0
"""A tape can be replayed from an episode's start with nothing carried over: the newest is kept for so long."""
KEPT_RECORDS = 400_000
"""At most, whatever their stamps say: two minutes at 1 kHz."""
AFTER_S = 2.0
"""What a fault leads to, up to this long, is on the tape, too."""
QUIET_S = 30.0
"""Of a part that fails again and again, one tape: another comes when it had gone well for so long."""
MOST_TAPES = 20
"""Of one run; further faults are only counted."""
WRITTEN_AT_ONCE = 4
"""Kept records that are written whenever one comes in: whoever adds them has others to look after, too."""


@final
class FlightRecorder:
    """Keeps the newest records in memory and writes them to `FOLDER/flight-NUMBER-PART.mcap` where something fails.

    It sees by itself, in the records: a `Fault`, a chunk that can't be used, an emergency stop that is latched (part
    `stop`). Of what else fails it is told.

    Writing takes its time, a few records with every one that comes in; of what is written meanwhile a second list is
    held, no more.

    Args:
        folder: Where tapes go; made when the first one is.
        head: What a replay needs.
    """

    def __init__(self, folder: Path, head: TapeHead) -> None:
        self._folder, self._head = folder, head
        self._kept: deque[tuple[float, Record]] = deque(maxlen=KEPT_RECORDS)
        self._starts: deque[float] = deque(maxlen=2)
        self._carried = CarriedOver()
        self._now_s = 0.0
        self._stopped = False
        self._failed_s: dict[str, float] = {}
        self._pending: tuple[float, str] | None = None
        self._writing: _Flight | None = None
        self._begun = 0
        self.faults = 0
        self.tapes: list[Path] = []
        """Written so far."""

    def add(self, record: Record) -> None:
        """Keep a record; those too old are let go. Raises `BridgeError` for what is none."""
        if type(record) not in TOPICS:
            raise BridgeError(f"{type(record).__name__} is no record of a tape")
        # The tick's own clock alone tells the time: stamps of what was seen may say anything.
        now_s: Any = record.stamp_s if isinstance(record, Command) else getattr(record, "now_s", None)
        if is_number(now_s):
            self._now_s = max(self._now_s, now_s)
        self._carried.see(record)
        if isinstance(record, Started) and not self._carried:
            self._starts.append(self._now_s)
        self._kept.append((self._now_s, record))
        self._let_go()
        self._look_for_faults(record)
        if self._writing is not None:
            self._write(WRITTEN_AT_ONCE)
        elif self._pending is not None and self._now_s >= self._pending[0] + AFTER_S:
            self._begin()

    def fault(self, part: str) -> None:
        """Something failed: a tape is written when what it leads to is on it. Another fault until then shares it."""
        self.faults += 1
        if self._pending is None:
            self._pending = (self._now_s, part)

    def failing(self, part: str) -> None:
        """A part failed that goes on: a tape is written of the first time, and of another after `QUIET_S` without."""
        since_s = self._now_s - self._failed_s.get(part, -math.inf)
        self._failed_s[part] = self._now_s
        if since_s >= QUIET_S:
            self.fault(part)
        else:
            self.faults += 1

    def _look_for_faults(self, record: Record) -> None:
        match record:
            case Fault():
                self.failing(str(record.kind))
            case ChunkArrived() if _is_unusable(record, self._head.embodiment.num_actions):
                self.failing("actor")
            case EmergencyStop() | Command():
                stopped = isinstance(record, EmergencyStop) or record.source == "stop"
                if stopped and not self._stopped:
                    self.fault("stop")
                self._stopped = stopped
            case _:
                pass

    def flush(self) -> None:
        """Write all that is waited for now. Never raises: a full disk must not end a run that goes on."""
        self._write(None)
        self._begin()
        self._write(None)

    def _begin(self) -> None:
        if self._pending is None:
            return
        (_, part), self._pending = self._pending, None
        if self._begun >= MOST_TAPES:
            return
        path = self._folder / f"flight-{self._begun + 1:02d}-{_plain(part)}.mcap"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writing = _Flight(path, part, self._head, [record for _, record in self._kept])
            self._begun += 1
        except (OSError, TapeError) as error:
            _LOGGER.warning("the flight recorder cannot write %s: %s", path, error)

    def _write(self, most: int | None) -> None:
        """Write on at the tape that has been begun, so many records; None: all."""
        flight = self._writing
        try:
            if flight is None or not flight.write(most):
                return
        except (OSError, TapeError) as error:
            _LOGGER.warning("the flight recorder cannot write %s: %s", flight.path if flight else "", error)
        else:
            self.tapes.append(flight.path)
            _LOGGER.warning("a fault of the %s: the last seconds are in %s", flight.part, flight.path)
        self._writing = None

    def _let_go(self) -> None:
        if self._pending is not None:
            return  # what a fault that waits for its tape needs is kept
        oldest_s = self._now_s - KEPT_S
        starts = [start_s for start_s in self._starts if start_s >= self._now_s - KEPT_FROM_START_S]
        oldest_s = min([oldest_s, *starts])
        while self._kept and self._kept[0][0] < oldest_s:
            self._kept.popleft()


class _Flight:
    """A tape of records that is written by and by."""

    def __init__(self, path: Path, part: str, head: TapeHead, records: list[Record]) -> None:
        self.path, self.part = path, part
        self._records: Iterator[Record] = iter(records)
        self._tape = TapeWriter(path, head)

    def write(self, most: int | None) -> bool:
        """Write so many records, None: all; whether none are left. Raises `OSError` or `TapeError`."""
        count = 0
        for record in islice(self._records, most):
            self._tape.add(record)
            count += 1
        if count == most:
            return False
        self._tape.close()
        return True


def _is_unusable(record: ChunkArrived, num_actions: int) -> bool:
    """Whether an actor's answer is one that the core must refuse, whatever was asked."""
    if not isinstance(record.chunk, ActionChunk) or not is_number(record.now_s):
        return True
    return problem_of(record.chunk, num_actions, now_s=record.now_s) is not None


def _plain(part: str) -> str:
    """Who failed, as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", part)[:40] or "unknown"
