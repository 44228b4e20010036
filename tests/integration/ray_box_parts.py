"""Writers and readers of a Ray box in processes of their own."""

import os
import threading
import time
from typing import Any

import numpy as np

from dualsys.bridge import ArrayCodec, Mailbox, Stamps
from dualsys.bridge.ray_mailbox import ray_reader, ray_writer
from dualsys.messages import TokenArray

CODEC = ArrayCodec("<f4", ndim=2)


def tokens(number: int, size: int = 64) -> TokenArray:
    """A value that is a function of its number."""
    return np.random.default_rng(number).standard_normal((size, 64), dtype=np.float32)


class Writing:
    """Owns a box."""

    def __init__(self, name: str) -> None:
        self._box: Mailbox[TokenArray] = ray_writer(name, CODEC, wait=threading.Event())

    def state(self) -> tuple[int, int, int]:
        """Process, epoch, last sequence."""
        return os.getpid(), self._box.epoch, self._box.last_sequence

    def write(self, count: int, *, size: int = 64, period_s: float = 0.0) -> int:
        """Write on; the last sequence."""
        for number in range(self._box.last_sequence + 1, self._box.last_sequence + 1 + count):
            self._box.write(tokens(number, size), sequence=number, observation_stamp_s=number / 8, time_to_live_s=9.0)
            time.sleep(period_s)
        return self._box.last_sequence

    def close(self) -> None:
        """Let go."""
        self._box.close()


class Reading:
    """Reads a box elsewhere."""

    def __init__(self, name: str) -> None:
        self._box: Mailbox[TokenArray] = ray_reader(name, CODEC)

    def ready(self) -> int:
        """Its process."""
        return os.getpid()

    def follow(self, until: int) -> list[Stamps]:
        """Stamps of every different value up to a sequence, each value compared."""
        seen: list[Stamps] = []
        while not seen or seen[-1].sequence < until:
            stamped: Any = self._box.read_stamped()
            if stamped is None or (seen and stamped[0] == seen[-1]):
                time.sleep(0.001)
                continue
            assert np.array_equal(stamped[1], tokens(stamped[0].sequence, len(stamped[1])))
            seen.append(stamped[0])
        return seen
