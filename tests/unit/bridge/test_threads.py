"""The crew of the threads driver: who fails early ends the run, who fails later begins again."""

import threading
import time
from collections.abc import Callable

import pytest

from dualsys.bridge.threads import Crew
from dualsys.errors import BridgeError


def failing(times: int, done: threading.Event) -> Callable[[threading.Event], None]:
    """A body that fails some times, then says so and waits for the end."""
    left = [times]

    def body(stop: threading.Event) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise BridgeError("no luck")
        done.set()
        stop.wait()

    return body


def test_who_fails_before_the_start_ends_the_run() -> None:
    crew, done = Crew(first_delay_s=0.0), threading.Event()
    crew.start("planner", failing(1, done))
    assert crew.stop.wait(10)
    with pytest.raises(BridgeError, match="planner: BridgeError: no luck"):
        crew.check()
    crew.end()
    assert not done.is_set()


def test_who_fails_later_begins_again_and_nobody_else_notices() -> None:
    crew, done = Crew(first_delay_s=0.001), threading.Event()
    crew.carry_on()
    crew.start("planner", failing(3, done))
    assert done.wait(10)
    assert not crew.stop.is_set()
    crew.check()
    began_s = time.monotonic()
    crew.end()
    assert time.monotonic() - began_s < 5
    assert crew.restarts == {"planner": 3}
