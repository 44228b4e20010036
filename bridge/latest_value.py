"""`Mailbox`: newest value wins, a read never waits, and every value tells where and when it comes from.

One class, three backends. `Mailbox.local()` hands values over by reference between threads (and inline).
`Mailbox.writer` and `Mailbox.reader` share a file in /dev/shm between processes (see `shared_slots`). `ray_mailbox` has
boxes that live in a Ray actor, for readers on other nodes. A box has one writer and any number of readers; when a
writer dies, the next one adopts the box and its epoch goes up by one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Generic, Protocol, TypeVar

from dualsys.bridge.box_file import DEFAULT_SLOTS, Pause
from dualsys.bridge.shared_slots import SharedSlots
from dualsys.bridge.stamps import Stamps
from dualsys.errors import BridgeError

__all__ = ["Codec", "Mailbox", "Stamps"]

T = TypeVar("T")


class Codec(Protocol[T]):
    """Turns a value into bytes and back. `dualsys.bridge.wire` has one for each message."""

    def encode(self, value: T) -> bytes:
        """Bytes of a value. Raises `BridgeError` for one that doesn't fit."""
        ...

    def decode(self, data: bytearray) -> T:
        """Value of a frame. Raises `BridgeError` for a malformed one."""
        ...


class Slots(Protocol):
    """Bytes and stamps, kept somewhere that others reach: what a mailbox between processes is made of."""

    @property
    def epoch(self) -> int:
        """How many writers the box has had."""
        ...

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time, on this machine, of the writer's last sign of life; 0 before the first."""
        ...

    def living_writer(self) -> int | None:
        """Process of the writer, None where there is none or it has ended."""
        ...

    def beat(self) -> None:
        """Leave a sign of life."""
        ...

    def write(self, data: bytes, *, sequence: int, observation_stamp_s: float, time_to_live_s: float) -> None:
        """Publish bytes. Raises `BridgeError` for what the box refuses."""
        ...

    def peek(self) -> Stamps | None:
        """Stamps of the newest value."""
        ...

    def read(self) -> tuple[Stamps, bytearray] | None:
        """The newest value; the same pair, not an equal one, while there is no newer one."""
        ...

    def close(self) -> None:
        """Let go of the box; idempotent."""
        ...


@dataclass(slots=True)
class _Local(Generic[T]):
    """What a local mailbox holds; one reference is swapped, which is atomic in Python."""

    newest: tuple[Stamps, T] | None = None
    epoch: int = 1
    heartbeat_s: float = 0.0


class Mailbox(Generic[T]):
    """The newest value of one kind, from one writer to any number of readers."""

    def __init__(self, *, slots: Slots | None = None, codec: Codec[T] | None = None) -> None:
        """Use `local`, `writer`, `reader`, or the functions of `ray_mailbox` instead."""
        self._slots = slots
        self._codec = codec
        self._local: _Local[T] = _Local()
        self._decoded: tuple[Stamps, T] | None = None

    @classmethod
    def local(cls) -> "Mailbox[T]":
        """A box within this process; values are handed over by reference."""
        return cls()

    @classmethod
    def create(cls, path: Path, codec: Codec[T], *, capacity: int, slots: int = DEFAULT_SLOTS) -> None:
        """Lay out an empty shared box of `slots` values of up to `capacity` bytes.

        Raises:
            BridgeError: where shared memory is missing or full, or the path is taken.
        """
        del codec  # Names the box's kind at the call; the file itself holds bytes.
        SharedSlots.create(path, capacity=capacity, slots=slots)

    @classmethod
    def writer(cls, path: Path, codec: Codec[T], *, wait: Pause | None = None) -> "Mailbox[T]":
        """Adopt a shared box as its only writer: the epoch goes up by one.

        Args:
            path: The box.
            codec: What it holds.
            wait: While the box has a living writer, wait for its end, or for this event.

        Raises:
            BridgeError: where there is no such box, it has another layout, or its writer is alive.
        """
        return cls(slots=SharedSlots.attach(path, write=True, wait=wait), codec=codec)

    @classmethod
    def reader(cls, path: Path, codec: Codec[T]) -> "Mailbox[T]":
        """Read a shared box. Raises `BridgeError` where there is none or it has another layout."""
        return cls(slots=SharedSlots.attach(path, write=False), codec=codec)

    def write(
        self, value: T, *, sequence: int, observation_stamp_s: float, time_to_live_s: float = float("inf")
    ) -> None:
        """Publish a value; it replaces the one before.

        Raises:
            BridgeError: for a value larger than the box's capacity, or a sequence that doesn't go up.
        """
        if self._slots is not None:
            assert self._codec is not None
            self._slots.write(
                self._codec.encode(value),
                sequence=sequence,
                observation_stamp_s=observation_stamp_s,
                time_to_live_s=time_to_live_s,
            )
            return
        if sequence <= self.last_sequence:
            raise BridgeError(f"sequence {sequence} doesn't follow {self.last_sequence}: a mailbox only moves on")
        now_s = monotonic()
        stamps = Stamps(
            sequence=sequence,
            epoch=self._local.epoch,
            observation_stamp_s=observation_stamp_s,
            written_stamp_s=now_s,
            time_to_live_s=time_to_live_s,
        )
        self._local.newest = (stamps, value)
        self._local.heartbeat_s = now_s

    def read(self) -> T | None:
        """The newest value, None before the first."""
        stamped = self.read_stamped()
        return None if stamped is None else stamped[1]

    def read_stamped(self) -> tuple[Stamps, T] | None:
        """The newest value with its stamps, None before the first. Raises `BridgeError` for a malformed frame."""
        if self._slots is None:
            return self._local.newest
        assert self._codec is not None
        letter = self._slots.read()
        if letter is None:
            return None
        if self._decoded is None or self._decoded[0] is not letter[0]:
            self._decoded = (letter[0], self._codec.decode(letter[1]))
        return self._decoded

    def peek(self) -> Stamps | None:
        """Stamps of the newest value without copying it: what the tick looks at."""
        if self._slots is not None:
            return self._slots.peek()
        newest = self._local.newest
        return None if newest is None else newest[0]

    @property
    def epoch(self) -> int:
        """How many writers the box has had."""
        return self._local.epoch if self._slots is None else self._slots.epoch

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest value, -1 before the first: where a new writer goes on."""
        stamps = self.peek()
        return -1 if stamps is None else stamps.sequence

    def living_writer(self) -> int | None:
        """Process of the writer, None where there is none or it has ended."""
        return os.getpid() if self._slots is None else self._slots.living_writer()

    def beat(self) -> None:
        """Tell the readers that the writer is alive, without a new value."""
        if self._slots is None:
            self._local.heartbeat_s = monotonic()
        else:
            self._slots.beat()

    def heartbeat_age_s(self) -> float:
        """Time since the writer last wrote or beat, infinite before its first sign."""
        beat_s = self._local.heartbeat_s if self._slots is None else self._slots.heartbeat_s
        return float("inf") if beat_s == 0.0 else monotonic() - beat_s

    def close(self) -> None:
        """Let go of the box. It stays for the others; idempotent."""
        if self._slots is not None:
            self._slots.close()
