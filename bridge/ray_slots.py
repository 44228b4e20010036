"""The two ends of a mailbox in a Ray actor. A thread behind each talks to the actor; the caller never waits."""

import logging
import os
import threading
from time import monotonic
from typing import final

from dualsys.bridge.box_line import ANSWER_WITHIN_S, BoxLine, Repeater, Unreachable
from dualsys.bridge.box_server import LEASE_S, Letter, Sender
from dualsys.bridge.stamps import Stamps
from dualsys.errors import BridgeError

_POLL_S = 0.5
_BEAT_S = 0.25
_LOGGER = logging.getLogger(__name__)

Value = tuple[Stamps, bytearray]


@final
class RayReader:
    """A reader's end: what its thread fetched last lies in this process.

    Args:
        line: To the actor.
        letter: Its first answer.
    """

    def __init__(self, line: BoxLine, letter: Letter) -> None:
        self._line = line
        self._epoch = 0
        self._last: Value | None = None
        self._beat_s = 0.0
        self._writer: int | None = None
        self._heard_s = 0.0
        self._take(letter)
        self._repeater = Repeater(line.name, self._fetch)
        self._repeater.start()

    def _fetch(self) -> None:
        arguments = self._epoch, self.peek(), _POLL_S
        self._take(self._line.call("newer_than", *arguments, within_s=_POLL_S + ANSWER_WITHIN_S))

    def _take(self, letter: Letter) -> None:
        self._heard_s = monotonic()
        self._epoch = max(self._epoch, letter.epoch)
        self._writer = letter.writer
        # Age is what the actor measured; that the answer took its time makes a writer look younger by that at most.
        beat_s = self._heard_s - letter.beat_age_s
        self._beat_s = max(self._beat_s, beat_s)
        known = self.peek()
        if letter.stamps is None or letter.data is None:
            return
        if known is None or letter.stamps.sequence > known.sequence:
            self._last = letter.stamps, bytearray(letter.data)

    @property
    def epoch(self) -> int:
        """How many writers the box has had."""
        return self._epoch

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time, on this machine, of the writer's last sign of life; 0 before the first."""
        return self._beat_s

    @property
    def failures(self) -> int:
        """Calls that the actor didn't answer."""
        return self._repeater.failures

    def living_writer(self) -> int | None:
        """Process of the writer, on its node; None where it wasn't heard of for `LEASE_S`, or the actor wasn't."""
        return self._writer if monotonic() - self._heard_s < LEASE_S else None

    def beat(self) -> None:
        """Not a reader's to leave. Raises `BridgeError`."""
        raise self._not_mine()

    def write(
        self, data: bytes | memoryview, *, sequence: int, observation_stamp_s: float, time_to_live_s: float
    ) -> None:
        """Not a reader's to do. Raises `BridgeError`."""
        raise self._not_mine()

    def _not_mine(self) -> BridgeError:
        return BridgeError(f"Ray box {self._line.name!r}: opened for reading; open it as its writer to publish")

    def peek(self) -> Stamps | None:
        """Stamps of the newest value here."""
        return None if self._last is None else self._last[0]

    def read(self) -> Value | None:
        """The newest value here."""
        return self._last

    def close(self) -> None:
        """End the thread; what was read stays readable."""
        self._repeater.stop(_POLL_S + ANSWER_WITHIN_S)


@final
class RayWriter:
    """The writer's end: its thread sends the newest value, and signs of life.

    Args:
        line: To the actor.
        letter: With which it let this writer in.
    """

    def __init__(self, line: BoxLine, letter: Letter) -> None:
        self._line = line
        self._capacity = letter.capacity
        self._epoch = letter.epoch
        self._followed_by: int | None = None
        self._stamps = letter.stamps
        self._last: Value | None = None
        if letter.stamps is not None and letter.data is not None:
            self._last = letter.stamps, bytearray(letter.data)
        self._outgoing: tuple[Stamps, bytes] | None = None
        self._sent = letter.held
        self._beat_s = monotonic()
        self._due = threading.Event()
        self._closed = False
        self._repeater = Repeater(line.name, self._send)
        self._repeater.start()

    def _send(self) -> None:
        self._due.wait(_BEAT_S)
        self._due.clear()
        self._send_now()

    def _send_now(self) -> None:
        sender = Sender(pid=os.getpid(), epoch=self._epoch, beat_age_s=monotonic() - self._beat_s)
        outgoing = self._outgoing
        if outgoing is not None and outgoing[0].sequence > self._sent:
            letter = self._line.call("write", sender, *outgoing)
        else:
            letter = self._line.call("beat", sender)
        # Less than was sent where the actor was started again: then it is sent anew.
        self._sent = letter.held
        if not letter.granted:
            self._followed_by = letter.epoch
            _LOGGER.warning("%s", self._followed())
            self._repeater.stop(None)

    @property
    def epoch(self) -> int:
        """This writer's."""
        return self._epoch

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last write or beat."""
        return self._beat_s

    @property
    def failures(self) -> int:
        """Calls that the actor didn't answer."""
        return self._repeater.failures

    def living_writer(self) -> int | None:
        """This process, unless another writer has followed or the box is closed."""
        return None if self._closed or self._followed_by is not None else os.getpid()

    def beat(self) -> None:
        """Leave a sign of life, which the thread carries on."""
        self._beat_s = monotonic()

    def write(
        self, data: bytes | memoryview, *, sequence: int, observation_stamp_s: float, time_to_live_s: float
    ) -> None:
        """Publish bytes: they are sent soon, unless newer ones come first."""
        if self._followed_by is not None:
            raise self._followed()
        if len(data) > self._capacity:
            raise BridgeError(f"Ray box {self._line.name!r}: a value of {len(data)} bytes exceeds its {self._capacity}")
        if self._stamps is not None and sequence <= self._stamps.sequence:
            raise BridgeError(
                f"Ray box {self._line.name!r}: sequence {sequence} doesn't follow {self._stamps.sequence}"
            )
        self._beat_s = monotonic()
        self._stamps = Stamps(
            sequence=sequence,
            epoch=self._epoch,
            observation_stamp_s=observation_stamp_s,
            written_stamp_s=self._beat_s,
            time_to_live_s=time_to_live_s,
        )
        self._last = self._stamps, bytearray(data)
        self._outgoing = self._stamps, bytes(data)
        self._due.set()

    def _followed(self) -> BridgeError:
        return BridgeError(
            f"Ray box {self._line.name!r}: another writer has followed (epoch {self._followed_by}, this one's was "
            f"{self._epoch}), since this one was not heard of for {LEASE_S:g} s; open the box anew"
        )

    def peek(self) -> Stamps | None:
        """Stamps of the newest value."""
        return self._stamps

    def read(self) -> Value | None:
        """The newest value."""
        return self._last

    def close(self) -> None:
        """Send what is yet to be sent, and let go of the box."""
        if self._closed:
            return
        self._closed = True
        self._repeater.stop(ANSWER_WITHIN_S)
        if self._followed_by is not None:
            return
        try:
            self._send_now()
            self._line.call("leave", self._epoch)
        except Unreachable as error:
            _LOGGER.warning("%s: its writer's lease runs out by itself", error)
