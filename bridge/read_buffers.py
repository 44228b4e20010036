"""Buffers that a reader copies values into, used again once nobody looks at what they held.

A value of 128 KB in fresh memory costs the tick a system call and a page fault for every 4 KB. So a reader keeps a few
buffers. One is free again when nobody else holds a reference to it: decoded arrays are views, and each of them holds
one, so that a value which anyone still has is never overwritten.
"""

import sys
from collections import deque
from typing import final

KEPT_BUFFERS = 4


@final
class ReadBuffers:
    """A small pool of `bytearray`s."""

    def __init__(self) -> None:
        self._buffers: deque[bytearray] = deque(maxlen=KEPT_BUFFERS)
        buffer = bytearray()
        # The count of one that only a local name refers to: asked of the interpreter, not assumed.
        self._unused = sys.getrefcount(buffer)
        self.made = 0
        """Buffers allocated so far."""

    def take(self, nbytes: int) -> bytearray:
        """A buffer of exactly `nbytes`, whose former contents nobody has."""
        for _ in range(len(self._buffers)):
            try:
                # Taken out while it is looked at, so that two threads never find the same one free.
                buffer = self._buffers.popleft()
            except IndexError:
                break
            free = sys.getrefcount(buffer) <= self._unused
            if free and len(buffer) != nbytes:
                buffer = self._make(nbytes)
            self._buffers.append(buffer)
            if free:
                return buffer
        buffer = self._make(nbytes)
        # Where somebody collects values, the oldest buffer falls out: it is theirs.
        self._buffers.append(buffer)
        return buffer

    def _make(self, nbytes: int) -> bytearray:
        self.made += 1
        return bytearray(nbytes)
