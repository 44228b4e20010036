"""What becomes of a run's records outside its tick: a whole tape, a flight recorder, or both."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from dualsys.bridge.failure_watch import FailureWatch
from dualsys.bridge.flight_recorder import FlightRecorder
from dualsys.bridge.reporter import Status
from dualsys.bridge.tape_reel import TapeReel
from dualsys.bridge.tape_ring import TapeRing
from dualsys.errors import BridgeError, TapeError
from dualsys.tape import Record, TapeHead

_LOGGER = logging.getLogger(__name__)


@final
class TapeDeck:
    """Takes records from a ring in shared memory, or straight from a driver on the virtual clock. A context manager.

    A tape that can't be written any more is given up with a warning and a count: the run goes on.

    Args:
        head: What a replay needs.
        record: Where the whole run goes; None: nowhere.
        flights: Folder for tapes of the last seconds before each fault; None: none.
    """

    def __init__(self, head: TapeHead, *, record: TapeReel | None, flights: Path | None) -> None:
        self._writer = record
        self._flights = FlightRecorder(flights, head) if flights is not None else None
        self._failures = FailureWatch()
        self._lost_bytes = 0
        self._gave_up = False
        self._not_written = 0
        self._unrecorded = self._unrecorded_in_ring = 0
        self._records = 0
        self.gave_up_reading = False
        """Whether there is no use in looking at the ring any more."""

    def add(self, record: Record) -> None:
        """Keep a record. Never raises: what can't be kept is counted, and told once."""
        self._records += 1
        try:
            self._write(record)
            if self._flights is not None:
                self._flights.add(record)
        except Exception as error:  # within a tick, and of anybody's objects
            if self._unrecorded == 0:
                _LOGGER.warning("a record that no tape can keep, counted from now on as unrecorded: %s", error)
            self._unrecorded += 1

    def drain(self, ring: TapeRing) -> None:
        """Take over what a ring holds. Never raises: a damaged ring is given up, and what follows counted."""
        try:
            for record in () if self.gave_up_reading else ring.read():
                self.add(record)
        except BridgeError as error:
            self.give_up_reading(error)
        self._unrecorded_in_ring = ring.unrecorded
        self._lost_bytes = ring.lost_bytes + (ring.unread_bytes if self.gave_up_reading else 0)

    def give_up_reading(self, error: BridgeError) -> None:
        """The ring is damaged, or was never whole: it is not looked at any more."""
        self.gave_up_reading = True
        _LOGGER.warning("the tape is given up, it cannot be read on: %s", error)

    def fault(self, part: str) -> None:
        """A process failed, which the core knows nothing of."""
        if self._flights is not None:
            self._flights.fault(part)

    def look(self, statuses: Mapping[str, Status]) -> None:
        """Processes or threads say by name how they are: where counts rise something failed, unknown to the core."""
        for part in self._failures.look(statuses):
            if self._flights is not None:
                self._flights.failing(part)

    def report(self) -> dict[str, Any]:
        """Counts, as they go into a run's figures."""
        flights = self._flights
        return {
            "records": self._records,
            "records_not_written": self._not_written,
            "unrecorded": self._unrecorded + self._unrecorded_in_ring,
            "bytes_lost": self._lost_bytes,
            "damaged": self.gave_up_reading,
            "flights": [] if flights is None else [path.name for path in flights.tapes],
        }

    def _write(self, record: Record) -> None:
        if self._writer is None:
            self._not_written += self._gave_up
            return
        try:
            self._writer.add(record)
        except (OSError, TapeError) as error:
            _LOGGER.warning("the tape cannot be written any more: %s", error)
            self._writer, self._gave_up = None, True
            self._not_written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flights is not None:
            self._flights.flush()
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as failure:
                _LOGGER.warning("the tape has no end: %s", failure)
