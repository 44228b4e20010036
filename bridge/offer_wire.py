"""`Offered` as a frame: what a source of commands writes into its box."""

from typing import Any, get_args

import numpy as np

from dualsys.bridge.frames import FrameReader, FrameWriter
from dualsys.errors import BridgeError
from dualsys.events import Offered, SourceName

_OFFER = 16


class OfferCodec:
    """`Offered`, without the time at which it is taken in: that is the reader's to say, and is its stamp until then."""

    def encode(self, value: Offered) -> bytes:
        """Frame of an offer."""
        frame = FrameWriter(_OFFER)
        frame.text(value.source)
        frame.array(np.asarray(value.target, dtype=np.float64), "<f8")
        frame.number(value.stamp_s)
        frame.integer(value.claims)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> Offered:
        """Offer of a frame. Raises `BridgeError` for a source that there isn't."""
        frame = FrameReader(data, _OFFER)
        source: Any = frame.text()
        target, stamp_s, claims = frame.array("<f8", 1), frame.number(), frame.flag()
        frame.finish()
        if source not in get_args(SourceName):
            raise BridgeError(f"an offer from {source!r}; sources are {', '.join(get_args(SourceName))}")
        return Offered(now_s=stamp_s, source=source, target=target, stamp_s=stamp_s, claims=claims)
