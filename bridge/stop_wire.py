"""`StopWord` as a frame: what an emergency stop's switch writes into its box."""

from dataclasses import dataclass

from dualsys.bridge.frames import FrameReader, FrameWriter

_STOP_WORD = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWord:
    """How a switch stands. A box keeps the newest word alone, so each tells of the newest stop, too."""

    pressed: bool
    """Whether the motion is to stop; False: somebody wants it to begin anew."""
    stop_sequence: int
    """The box's sequence of the newest word that was a stop; -1: there was none."""
    stamp_s: float
    """When it was said."""
    reason: str = ""


class StopCodec:
    """`StopWord`."""

    def encode(self, value: StopWord) -> bytes:
        """Frame of a word."""
        frame = FrameWriter(_STOP_WORD)
        frame.integer(value.pressed)
        frame.integer(value.stop_sequence)
        frame.number(value.stamp_s)
        frame.text(value.reason)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> StopWord:
        """Word of a frame. Raises `BridgeError` for a malformed one."""
        frame = FrameReader(data, _STOP_WORD)
        pressed, stop_sequence = frame.flag(), frame.integer()
        stamp_s, reason = frame.number(), frame.text()
        frame.finish()
        return StopWord(pressed=pressed, stop_sequence=stop_sequence, stamp_s=stamp_s, reason=reason)
