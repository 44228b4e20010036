"""A relay's seat at a server: the newest observation goes up, the newest subgoal comes down, nothing queues."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, final

from dualsys.bridge.box_line import ANSWER_WITHIN_S, Unreachable
from dualsys.bridge.server_line import ServerDied, ServerLine
from dualsys.bridge.slot import Slot
from dualsys.errors import BridgeError

_LOGGER = logging.getLogger(__name__)

LOST_S = 3.0
"""Without an answer for so long the link is lost: a packet that is sent again takes up to a second of it."""
_POLL_S = 0.5


@final
class RelayLink:
    """Two threads, each with one call at a time: a slow network makes values older, never more.

    Args:
        line: To the server.
        ticket: Of the seat.
        woke: Set whenever there is something to look at.
    """

    def __init__(self, line: ServerLine, ticket: str, woke: threading.Event) -> None:
        self._line = line
        self._ticket = ticket
        self._woke = woke
        self._outgoing: Slot[bytes] = Slot()
        self._due = threading.Event()
        self._stop = threading.Event()
        self._number = -1
        self._newest: Slot[bytes] = Slot()
        self._heard_s = monotonic()
        self.news: dict[str, Any] = {}
        """What the server last told of itself and of this seat."""
        self.lost = ""
        """Why the seat is gone; empty while it isn't."""
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=f"relay-{name}", daemon=True)
            for name, step in (("up", self._send), ("down", self._fetch))
        ]
        for thread in self._threads:
            thread.start()

    def show(self, frame: bytes) -> None:
        """Have an observation sent; it replaces one that is not under way yet."""
        self._outgoing.put(frame)
        self._due.set()

    def take(self) -> bytes | None:
        """The newest subgoal, once; None where there is nothing new."""
        return self._newest.take()

    def quiet_s(self) -> float:
        """Time since the server last answered."""
        return monotonic() - self._heard_s

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._stop.is_set() and not self.lost:
            try:
                step()
            except Unreachable as error:
                if isinstance(error, ServerDied) or self.quiet_s() > LOST_S:
                    self._lose(str(error))
                self._stop.wait(0.05)
            except BridgeError as error:
                # There will be no server: whoever joins again is told the same, and it is for him to end.
                self._lose(str(error))

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        self._due.set()
        self._woke.set()

    def _send(self) -> None:
        if not self._due.wait(_POLL_S):
            return
        self._due.clear()
        frame = self._outgoing.take()
        if frame is None:
            return
        known = self._line.call("show", self._ticket, frame)
        self._heard_s = monotonic()
        if not known:
            self._lose("the planner's server has given the seat to another, or forgotten it")

    def _fetch(self) -> None:
        answer = self._line.call("newer", self._ticket, self._number, _POLL_S, within_s=_POLL_S + ANSWER_WITHIN_S)
        self._heard_s = monotonic()
        if not answer["known"]:
            self._lose("the planner's server has given the seat to another, or forgotten it")
            return
        self.news = answer["news"]
        if answer["subgoal"] is not None:
            self._number = answer["number"]
            self._newest.put(answer["subgoal"])
            self._woke.set()

    def close(self) -> None:
        """Leave, and end both threads; a call that is under way is waited for."""
        self._stop.set()
        self._due.set()
        for thread in self._threads:
            thread.join(_POLL_S + ANSWER_WITHIN_S)
        if not self.lost:
            try:
                self._line.call("leave", self._ticket)
            except (Unreachable, BridgeError) as error:
                _LOGGER.info("the seat at the planner's server is forgotten in a while: %s", error)
