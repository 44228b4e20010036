"""What a mailbox's Ray actor does: keeps the newest value, tells waiting readers, lets one writer in at a time.

A file's lock tells whether its writer lives; across nodes nothing does. So a writer holds a lease, renewed by every
call. One whose lease has run out may be followed by another, with the next epoch; should it come back, what it sends
under its old epoch is refused. An actor that died and was started again has forgotten everything: in its first moments
it lets no new writer in, and learns from readers and from the writer what they know, so that epochs and sequences go
on; the writer sends its value anew.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import final

from dualsys.bridge.stamps import Stamps

LEASE_S = 2.0
"""A writer that wasn't heard of for so long may be followed by another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What the actor answers."""

    epoch: int
    capacity: int
    writer: int | None
    """Process of the writer, on its node; None where there is none or its lease has run out."""
    beat_age_s: float
    """Since the writer's last sign of life, when this was sent; infinite before the first."""
    stamps: Stamps | None
    data: bytes | None
    """Of the newest value; None where the asker has it already, or it is lost."""
    held: int
    """Sequence of the value that the actor could send, -1: none."""
    granted: bool = True
    """Answering a writer: whether it is the box's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who writes."""

    pid: int
    epoch: int
    beat_age_s: float
    """Since its last sign of life, when this was sent."""


@final
class BoxServer:
    """The newest value of one mailbox. Its methods are called through Ray, at the same time by many.

    Args:
        capacity: Bytes of the largest value.
    """

    def __init__(self, capacity: int) -> None:
        import ray

        restarted = ray.get_runtime_context().was_current_actor_reconstructed
        self._capacity = capacity
        self._changed = asyncio.Condition()
        self._epoch = 0
        self._writer: int | None = None
        self._heard_s = -float("inf")
        self._beat_s = -float("inf")
        self._stamps: Stamps | None = None
        self._data: bytes | None = None
        self._opens_s = monotonic() + LEASE_S if restarted else 0.0

    async def adopt(self, pid: int) -> Letter:
        """Let a writer in as the only one: the epoch goes up by one. Not granted while another's lease runs."""
        now_s = monotonic()
        if self._living_writer() is not None or now_s < self._opens_s:
            return self._letter(granted=False)
        self._epoch += 1
        self._writer, self._heard_s, self._beat_s = pid, now_s, now_s
        await self._tell()
        return self._letter(self._data)

    async def write(self, sender: Sender, stamps: Stamps, data: bytes) -> Letter:
        """Take a value. Not granted to a writer that was followed by another."""
        if not self._hear(sender):
            return self._letter(granted=False)
        # Of a value whose stamps alone are known, from readers, the writer sends the rest.
        if self._stamps is None or stamps.sequence >= self._stamps.sequence:
            self._stamps, self._data = stamps, data
        await self._tell()
        return self._letter()

    async def beat(self, sender: Sender) -> Letter:
        """Renew a writer's lease. Not granted to a writer that was followed by another."""
        return self._letter(granted=self._hear(sender))

    async def leave(self, epoch: int) -> None:
        """End a writer's lease: the next needn't wait."""
        if epoch == self._epoch:
            self._writer = None
            await self._tell()

    async def newer_than(self, epoch: int, stamps: Stamps | None, within_s: float) -> Letter:
        """What is newer than what a reader has; without it after a time, so that the reader knows we live."""
        self._epoch = max(self._epoch, epoch)
        if self._stamps is None or (stamps is not None and stamps.sequence > self._stamps.sequence):
            self._stamps, self._data = stamps, None
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: self._epoch != epoch or self._is_newer(stamps))
        except TimeoutError:
            pass
        return self._letter(self._data if self._is_newer(stamps) else None)

    def _is_newer(self, than: Stamps | None) -> bool:
        """Whether there is a newer value. A forgotten one, of which readers told us the stamps, can't be sent."""
        if self._stamps is None or self._data is None:
            return False
        return than is None or self._stamps.sequence > than.sequence

    def _hear(self, sender: Sender) -> bool:
        if sender.epoch < self._epoch:
            return False
        self._epoch, self._writer, self._heard_s = sender.epoch, sender.pid, monotonic()
        self._beat_s = self._heard_s - sender.beat_age_s
        return True

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _living_writer(self) -> int | None:
        return self._writer if monotonic() - self._heard_s < LEASE_S else None

    def _letter(self, data: bytes | None = None, *, granted: bool = True) -> Letter:
        return Letter(
            epoch=self._epoch,
            capacity=self._capacity,
            writer=self._living_writer(),
            beat_age_s=monotonic() - self._beat_s,
            stamps=self._stamps,
            data=data,
            held=-1 if self._stamps is None or self._data is None else self._stamps.sequence,
            granted=granted,
        )
