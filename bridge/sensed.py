"""What a robot sends to a planner elsewhere: its newest observation, and the episode that it belongs to."""

import struct

from dualsys.bridge.scene import Episode
from dualsys.bridge.wire import EpisodeCodec, ObservationCodec
from dualsys.errors import BridgeError
from dualsys.messages import Observation

_LENGTH = struct.Struct("<q")


class SensedCodec:
    """Two frames, the first one's length before them: `length i64, episode, observation`."""

    def encode(self, value: tuple[Episode, Observation]) -> bytes:
        """Frames of an episode and an observation."""
        episode, observation = EpisodeCodec().encode(value[0]), ObservationCodec().encode(value[1])
        return b"".join((_LENGTH.pack(len(episode)), episode, observation))

    def decode(self, data: bytes | bytearray) -> tuple[Episode, Observation]:
        """Episode and observation of what was sent. Raises `BridgeError` for anything else."""
        length = _LENGTH.unpack_from(data)[0] if len(data) >= _LENGTH.size else -1
        if not 0 <= length <= len(data) - _LENGTH.size:
            raise BridgeError(f"{len(data)} bytes are no observation with its episode: the first is {length} long")
        middle = _LENGTH.size + length
        episode = EpisodeCodec().decode(data[_LENGTH.size : middle])
        return episode, ObservationCodec().decode(data[middle:])
