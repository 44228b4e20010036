"""The tick's end of the emergency stop: what a switch has said becomes an event of the decision core."""

from collections.abc import Callable
from typing import Any, final

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.stop_wire import StopWord
from dualsys.decision import DecisionCore
from dualsys.errors import BridgeError, DualsysError
from dualsys.events import EmergencyReset, EmergencyStop
from dualsys.messages import FloatArray
from dualsys.safety import SafetyGate


@final
class StopReader:
    """Looks at the switch's box. Raises nothing, and takes what it can't read for a stop.

    Args:
        box: Where the switch's words are.
        core: Is stopped and reset.
        gate: Tells what the motion begins anew from.
        note: Told of each, with the fields of a log line.
    """

    def __init__(self, box: Mailbox[StopWord], core: DecisionCore, gate: SafetyGate, note: Callable[..., Any]) -> None:
        self._box, self._core, self._gate, self._note = box, core, gate, note
        self._seen = (0, -1)
        self._stop_sequence = _newest_stop(box)

    def look(self, now_s: float, state: Callable[[], FloatArray], sent: FloatArray) -> None:
        """Stop or reset, where the switch has said so since the last look.

        Args:
            now_s: Time of the tick.
            state: Tells the robot's state `(nx,)`.
            sent: The last command's target `(nu,)`.
        """
        stamps = self._box.peek()
        if stamps is None or (stamps.epoch, stamps.sequence) == self._seen:
            return
        self._seen = (stamps.epoch, stamps.sequence)
        try:
            word = self._box.read()
        except BridgeError as error:
            self._stop(now_s, f"the switch's word cannot be read: {error}")
            return
        if word is None:
            return
        # Pressed and reset between two looks, it was pressed all the same.
        if word.pressed or word.stop_sequence > self._stop_sequence:
            self._stop(now_s, word.reason)
        self._stop_sequence = word.stop_sequence
        if not word.pressed:
            self._reset(now_s, state, sent)

    def _stop(self, now_s: float, reason: str) -> None:
        self._note("stop", now_s, reason=reason)
        self._core.handle(EmergencyStop(now_s=now_s, reason=reason))

    def _reset(self, now_s: float, state: Callable[[], FloatArray], sent: FloatArray) -> None:
        if not self._core.stopped:
            return
        try:
            position = self._gate.resume(self._core.embodiment.position_in(state()))
        except DualsysError as error:
            self._note("stop_reset_refused", now_s, reason=str(error))
            return
        self._note("stop_reset", now_s, moved=bool((position != sent).any()))
        self._core.handle(EmergencyReset(now_s=now_s, position=position))


def _newest_stop(box: Mailbox[StopWord]) -> int:
    try:
        word = box.read()
    except BridgeError:
        return -1
    return -1 if word is None else word.stop_sequence
