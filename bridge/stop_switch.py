"""The emergency stop's switch of a run in threads or in processes.

    switch = StopSwitch.join(Path("/dev/shm/dualsys.NAME"))
    switch.stop("somebody walked in")
    switch.reset()      # when somebody has looked

The tick looks at it in each of its periods, before all else. Anybody may press it, several at once, too: a switch takes
the box for as long as a word takes to be written.
"""

import threading
import time
from pathlib import Path
from typing import Self, final

from dualsys.bridge.boxes import STOP, Boxes, SharedBoxes
from dualsys.bridge.stop_wire import StopWord
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError

_REASON_CHARACTERS = 1000
_TRIES, _TRY_S = 50, 0.01
"""A word takes microseconds to be written: who holds the box for longer hangs."""
_ONE_AT_A_TIME = threading.Lock()


@final
class StopSwitch:
    """Stops a run's motion, and lets it begin anew.

    Args:
        boxes: Of the run: `LocalBoxes` that were given to `run_threads`, or see `join`.
    """

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        self._clock = MonotonicClock()

    @classmethod
    def join(cls, folder: Path) -> Self:
        """The switch of a run in processes on this machine.

        Args:
            folder: The run's folder of shared memory, `/dev/shm/dualsys.NAME`.

        Raises:
            BridgeError: there is no such run.
        """
        if not (folder / f"{STOP.name}.box").exists():
            raise BridgeError(f"there is no run in {folder}; `dualsys doctor` tells which are alive")
        return cls(SharedBoxes(folder))

    def stop(self, reason: str = "") -> None:
        """Emergency stop: from the next tick on the motion comes to rest within the limits, and stays so.

        It is latched until `reset`, over episodes, too. No substitute for a switch that cuts power.

        Raises:
            BridgeError: the run is over, or another switch has hung with the box in its hand.
        """
        # Whatever the reason is, it must not keep the word from being written.
        self._write(pressed=True, reason=reason.encode(errors="replace").decode()[:_REASON_CHARACTERS])

    def reset(self) -> None:
        """End an emergency stop, that of another switch or of an old input, too: the motion begins anew, from rest.

        Without a stop it does nothing. Where the tick doesn't know where the robot is, it stays stopped, and the log
        says so. Raises `BridgeError` where the run is over.
        """
        self._write(pressed=False, reason="")

    def _write(self, *, pressed: bool, reason: str) -> None:
        with _ONE_AT_A_TIME:
            box = self._boxes.writer(STOP, wait=_Patience())
            try:
                sequence = box.last_sequence + 1
                word = StopWord(
                    pressed=pressed,
                    stop_sequence=sequence if pressed else _newest_stop(box.read()),
                    stamp_s=self._clock.now_s(),
                    reason=reason,
                )
                box.write(word, sequence=sequence, observation_stamp_s=word.stamp_s)
            finally:
                box.close()


class _Patience:
    """Waits for a box that others write for microseconds, and not for ever."""

    def __init__(self) -> None:
        self._left = _TRIES

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait for a moment; whether to look no more."""
        del timeout
        time.sleep(_TRY_S)
        self._left -= 1
        return self._left <= 0


def _newest_stop(before: StopWord | None) -> int:
    return -1 if before is None else before.stop_sequence
