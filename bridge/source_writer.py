"""The other end of a source of commands: how a teleoperation, or another controller, drives a robot in a run.

    with SourceWriter.join(RunFolder.path, "teleoperation") as person:
        while True:
            person.offer(where_the_hand_device_is())

The tick takes the newest offer in each of its periods and never waits for one. A writer that dies or fails leaves its
claim: its last offer grows old, the motion is held, and the next writer of that name goes on or releases.
"""

from pathlib import Path
from types import TracebackType
from typing import Self, final

import numpy as np

from dualsys.bridge.boxes import OFFERS, Boxes, SharedBoxes
from dualsys.bridge.latest_value import Mailbox
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError
from dualsys.events import Offered, SourceName
from dualsys.messages import FloatArray


@final
class SourceWriter:
    """Offers targets under a source's name. A context manager; its end gives the say back, a failure's end doesn't.

    Args:
        boxes: Of the run: `LocalBoxes` that were given to `run_threads`, or see `join`.
        source: Who offers.

    Raises:
        BridgeError: another process offers under that name.
    """

    def __init__(self, boxes: Boxes, source: SourceName) -> None:
        self.source = source
        self._box: Mailbox[Offered] = boxes.writer(OFFERS[source])
        self._clock = MonotonicClock()
        newest = self._box.read()
        self._target: FloatArray | None = None if newest is None else newest.target

    @classmethod
    def join(cls, folder: Path, source: SourceName) -> Self:
        """A source of a run in processes on this machine.

        Args:
            folder: The run's folder of shared memory, `/dev/shm/dualsys.NAME`.
            source: Who offers.

        Raises:
            BridgeError: there is no such run, or another process offers under that name.
        """
        if not (folder / f"{OFFERS[source].name}.box").exists():
            raise BridgeError(f"there is no run in {folder}; `dualsys doctor` tells which are alive")
        return cls(SharedBoxes(folder), source)

    def offer(self, target: FloatArray) -> None:
        """Where the commanded joints are to be now `(nu,)`, and claim the say."""
        self._target = np.array(target, dtype=np.float64)
        self._write(claims=True)

    def release(self) -> None:
        """Give the say back, that of a writer before, too. Without an offer there is nothing to give back."""
        if self._target is not None:
            self._write(claims=False)

    def close(self) -> None:
        """Give the say back, and the name."""
        self.release()
        self.leave()

    def leave(self) -> None:
        """Give the name back and keep the say, if one has it: the last offer grows old, and the motion is held."""
        self._target = None
        self._box.close()

    def _write(self, *, claims: bool) -> None:
        assert self._target is not None
        now_s = self._clock.now_s()
        offered = Offered(now_s=now_s, source=self.source, target=self._target, stamp_s=now_s, claims=claims)
        self._box.write(offered, sequence=self._box.last_sequence + 1, observation_stamp_s=now_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.leave()
