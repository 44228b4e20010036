"""The planner of `benchmarks.bridge_latency`: a Ray actor that emits subgoals of one size, and plans nothing."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.ray_mailbox import ray_writer
from dualsys.bridge.wire import SubgoalCodec
from dualsys.messages import LatentSubgoal, TokenArray

WIDTH = 256


def subgoal_of(nbytes: int, number: int) -> LatentSubgoal:
    """A subgoal with so many bytes of tokens."""
    tokens = np.full((nbytes // (4 * WIDTH), WIDTH), number, dtype=np.float32)
    return LatentSubgoal(tokens=tokens, observation_stamp_s=time.monotonic(), sequence=number)


class SubgoalSource:
    """Emits from a thread of its own, into a mailbox or for those who call."""

    def __init__(self) -> None:
        self._number = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest: tuple[int, float, TokenArray] | None = None

    def begin(self, into: str, nbytes: int, hz: float) -> None:
        """Emit at a rate, into a file (`/dev/shm/...`), into the Ray box of that name, or for callers (`call`)."""
        box: Mailbox[LatentSubgoal] | None = None
        if into.startswith("/"):
            box = Mailbox.writer(Path(into), SubgoalCodec())
        elif into != "call":
            box = ray_writer(into, SubgoalCodec(), wait=threading.Event())
        self._stop, self._newest = threading.Event(), None
        self._thread = threading.Thread(target=self._emit, args=(box, nbytes, 1.0 / hz))
        self._thread.start()

    def _emit(self, box: Mailbox[LatentSubgoal] | None, nbytes: int, period_s: float) -> None:
        while not self._stop.wait(period_s):
            self._number += 1
            subgoal = subgoal_of(nbytes, self._number)
            if box is None:
                self._newest = self._number, time.monotonic(), subgoal.tokens
            else:
                box.write(subgoal, sequence=self._number, observation_stamp_s=subgoal.observation_stamp_s)
        if box is not None:
            box.close()

    def end(self) -> None:
        """Emit no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def newer_than(self, number: int) -> tuple[int, float, Any] | None:
        """What a caller has not yet: number, when it was made, tokens; None: nothing new."""
        newest = self._newest
        return None if newest is None or newest[0] <= number else newest
