"""A slot between two threads: what is put in the midst of taking, at whichever instruction, is not lost."""

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from dualsys.bridge.relay_link import RelayLink
from dualsys.bridge.slot import Slot
from dualsys.errors import BridgeError


def interrupted(body: Callable[[], Any], at: int, do: Callable[[], None]) -> tuple[Any, bool]:
    """A body's value, with something done before its bytecode instruction of that number; and whether it has one."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == at:
                do()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        value = body()
    finally:
        sys.settrace(before)
    return value, count >= at


def test_the_newest_is_taken_once() -> None:
    slot: Slot[int] = Slot()
    assert slot.take() is None
    slot.put(1)
    slot.put(2)
    assert [slot.take(), slot.take()] == [2, None]


class Server:
    """Has a new subgoal for whoever asks from the test's own thread, and none for the link's."""

    def __init__(self) -> None:
        self.number = 0

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        if method != "newer":
            return True
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.01)
            return {"known": True, "news": {}, "subgoal": None}
        self.number += 1
        return {"known": True, "news": {}, "subgoal": str(self.number).encode(), "number": self.number}


def test_a_subgoal_that_arrives_while_the_relay_takes_one_is_not_lost() -> None:
    server: Any = Server()
    link = RelayLink(server, "ticket", threading.Event())
    try:
        at, reached = 1, True
        while reached:
            taken, reached = interrupted(link.take, at, link._fetch)
            newest = str(server.number).encode() if reached else None
            assert newest in (taken, link.take()), f"lost before instruction {at}"
            at += 1
        assert at > 5
    finally:
        link.close()


class GivenUp:
    """A server that will not come again."""

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        raise BridgeError("the planner's server is given up: it died too often")


def test_a_server_that_is_given_up_is_the_end_of_a_link_that_says_why() -> None:
    server: Any = GivenUp()
    woke = threading.Event()
    link = RelayLink(server, "ticket", woke)
    assert woke.wait(5)
    assert link.lost == "the planner's server is given up: it died too often"
    link.close()
