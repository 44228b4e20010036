"""Who is to blame for a missed deadline: a tick that waited for somebody, or a machine without a free processor."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from dualsys.errors import NotConforming
from dualsys.testing.faults import Misfortune, waited_s

HZ = 100.0
SLEEPS = "import time; time.sleep(600)"
COMPUTES = "while True: pass"


@contextmanager
def process(program: str, cpu: int | None = None) -> Iterator[int]:
    """One that ignores the signal by which a misfortune ends a run."""
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)\n{program}"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        if cpu is not None:
            os.sched_setaffinity(child.pid, {cpu})
        yield child.pid
    finally:
        child.kill()
        child.communicate()


def until_waited(pid: int, seconds: float) -> None:
    begin_s, until_s = waited_s(pid), time.monotonic() + 60
    while waited_s(pid) < begin_s + seconds:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def look(pid: int, count: int, misses: int) -> Any:
    tick = {"running": True, "pid": pid, "count": count, "misses": misses, "hz": HZ, "chunks": 9, "subgoals": 9}
    return SimpleNamespace(statuses={"tick": tick})


def test_whoever_shares_a_processor_waits_for_it_and_whoever_sleeps_does_not() -> None:
    cpu = min(os.sched_getaffinity(0))
    with process(COMPUTES, cpu) as one, process(COMPUTES, cpu) as other, process(SLEEPS) as sleeper:
        before = waited_s(sleeper)
        until_waited(one, 0.5)
        until_waited(other, 0.1)
        assert waited_s(sleeper) - before < waited_s(one)
    with pytest.raises(ProcessLookupError):
        waited_s(one)


def test_misses_that_nothing_excuses_are_refused() -> None:
    harmed: list[Any] = []
    with process(SLEEPS) as pid:
        misfortune = Misfortune(harmed.append, lambda _: True)
        misfortune(look(pid, 100, 1))
        assert not harmed
        misfortune(look(pid, 160, 3))
        assert len(harmed) == 1
        misfortune(look(pid, 310, 5000))
        with pytest.raises(NotConforming, match="4997 deadlines were missed in 150 ticks after the harm, 3 in 160"):
            misfortune.check()
        misfortune.check(allowed_misses=4994)


@pytest.mark.parametrize(
    ("before", "after"),
    [([160], [310]), ([140], [160, 310])],
    ids=["after the harm", "before it, but not told of by then"],
)
def test_misses_for_want_of_a_processor_are_the_machines(before: list[int], after: list[int]) -> None:
    """Ticks when it was looked at before it waited, and after: the first look of 150 or more sees the harm done."""
    cpu = min(os.sched_getaffinity(0))
    with process(COMPUTES, cpu) as pid, process(COMPUTES, cpu):
        misfortune = Misfortune(lambda _: None, lambda _: True)
        for count in before:
            misfortune(look(pid, count, 0))
        until_waited(pid, 0.5)
        for count in after:
            misfortune(look(pid, count, 50 if count == 310 else 0))
        misfortune.check()


def test_a_run_that_ended_early_was_never_harmed() -> None:
    misfortune = Misfortune(lambda _: None, lambda _: True)
    misfortune(look(os.getpid(), 10, 0))
    with pytest.raises(NotConforming, match="before any harm"):
        misfortune.check()
