"""The emergency stop's switch of a run in threads or in processes.

    switch = StopSwitch.join(Path("/dev/shm/dualsys.NAME"))
    switch.stop("somebody walked in")
    switch.reset()      # when somebody has looked

The tick looks at it in each of its periods, before all else. Anybody may press it, several at once, too: a switch takes
the box for as long as a word takes to be written.
"""

import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Self, final

from dualsys.bridge.boxes import STOP, Boxes, SharedBoxes
from dualsys.bridge.stop_wire import StopWord
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError

WAITS_S = 0.5
"""For others who press, which takes microseconds; who holds the box for longer hangs."""
_REASON_CHARACTERS = 1000
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
            BridgeError: the run is over, or another process has held the switch for half a second and is named. The
                motion goes on then: cut the power, or end that process and press again.
        """
        # Whatever the reason is, it must not keep the word from being written.
        self._write(pressed=True, reason=reason.encode(errors="replace").decode()[:_REASON_CHARACTERS])

    def reset(self) -> None:
        """End an emergency stop, that of another switch or of an old input, too: the motion begins anew, from rest.

        Without a stop it does nothing. Where the tick doesn't know where the robot is, it stays stopped, and the log
        says so. Raises `BridgeError` as `stop` does.
        """
        self._write(pressed=False, reason="")

    def _write(self, *, pressed: bool, reason: str) -> None:
        patience = _Patience(WAITS_S)
        # No longer for a thread of ours that waits for the same process: who is stopped must hear of it soon.
        if not _ONE_AT_A_TIME.acquire(timeout=WAITS_S):
            raise BridgeError("the switch was not reached: other threads of this process wait for it, too; press again")
        try:
            self._write_alone(patience, pressed=pressed, reason=reason)
        finally:
            _ONE_AT_A_TIME.release()

    def _write_alone(self, patience: "_Patience", *, pressed: bool, reason: str) -> None:
        try:
            box = self._boxes.writer(STOP, wait=patience)
        except BridgeError as error:
            if not patience.is_over:
                raise
            raise BridgeError(f"the switch was not reached in {WAITS_S:g} s, end who holds it: {error}") from error
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
    """Waits between two looks until a time has passed in all."""

    def __init__(self, seconds: float) -> None:
        self._until_s = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return monotonic() >= self._until_s

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait for so long; whether to look no more."""
        sleep(timeout or 0.0)
        return self.is_over


def _newest_stop(before: StopWord | None) -> int:
    return -1 if before is None else before.stop_sequence
