"""Real-time settings are tried, told and never required: with the rights of whoever runs the tests, and with none."""

import gc
import json
import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from dualsys.bridge import scheduling
from dualsys.bridge.realtime import had_less, realtime_thread
from dualsys.settings import RealtimeConfig

PROGRAM = """
import gc, json, os, sys
from dualsys.bridge.realtime import enter_realtime, leave_realtime
from dualsys.settings import RealtimeConfig
if sys.argv[2] == "nobody":
    os.setgid(65534)
    os.setuid(65534)
had = enter_realtime(RealtimeConfig(**json.loads(sys.argv[1])), 0.002)
inside, policy = gc.isenabled(), os.sched_getscheduler(0) & 0xFF
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, bytes([os.sched_getscheduler(0) & 0xFF]))
    os._exit(0)
child = os.read(read, 1)[0]
leave_realtime()
print(json.dumps([had, inside, policy, child, gc.isenabled(), os.sched_getscheduler(0) & 0xFF]))
"""


def entered(user: str = "me", **settings: Any) -> list[Any]:
    """What `enter_realtime` had in a process of its own, and how that process was then and afterwards."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings), user]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: list[Any] = json.loads(result.stdout)
    return answer


def test_fifo_is_tried_and_told() -> None:
    had, collecting, policy, _, collecting_after, policy_after = entered(priority=3, cpu=4000)
    assert (collecting, collecting_after, policy_after) == (False, True, os.SCHED_OTHER)
    assert had["scheduler"].startswith(("SCHED_FIFO 3", "ordinary: SCHED_FIFO 3:"))
    assert (policy == os.SCHED_FIFO) == had["scheduler"].startswith("SCHED_FIFO")
    assert had["cpu"].startswith(("not pinned to 4000", "any: no real-time priority"))
    assert set(had) == {"gc", "cpu", "memory", "timer_slack", "scheduler"}


def test_deadline_is_tried_and_told_and_children_are_ordinary() -> None:
    had, _, policy, child, _, policy_after = entered(scheduler="deadline", runtime_share=0.25)
    assert had["scheduler"].startswith(
        ("SCHED_DEADLINE 500 us in 2000 us", "ordinary: SCHED_DEADLINE 500 us in 2000 us:")
    )
    assert (policy == scheduling.SCHED_DEADLINE) == had["scheduler"].startswith("SCHED_DEADLINE")
    assert had["cpu"].startswith("any: ")
    assert child == os.SCHED_OTHER
    assert policy_after == os.SCHED_OTHER


def test_nothing_is_touched_that_was_not_asked_for() -> None:
    had, collecting, policy, *_ = entered(scheduler="none", lock_memory=False, freeze_gc=False)
    assert collecting
    assert policy == os.SCHED_OTHER
    assert had["scheduler"] == "ordinary: not asked for more"
    assert (had["memory"], had["gc"]) == ("not asked for", "not asked for")
    assert had_less(had) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("scheduler", ["fifo", "deadline"])
def test_without_rights_it_goes_on_and_says_what_is_missing(scheduler: str) -> None:
    had, collecting, policy, *_ = entered("nobody", scheduler=scheduler)
    assert (collecting, policy) == (False, os.SCHED_OTHER)
    assert "CAP_SYS_NICE" in had["scheduler"]
    assert any(line.startswith("scheduler: ordinary: SCHED_") for line in had_less(had))


def test_a_machine_whose_call_is_not_known_keeps_its_scheduling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    had = scheduling.schedule(RealtimeConfig(scheduler="deadline"), 0.01)
    assert had == "ordinary: SCHED_DEADLINE 5000 us in 10000 us: no number of sched_setattr is known for pdp11"


def test_a_deadline_that_the_kernel_refuses_is_told() -> None:
    had = scheduling.schedule(RealtimeConfig(scheduler="deadline"), 1e-6)
    assert had.startswith("ordinary: SCHED_DEADLINE 0 us in 1 us: ")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_thread_gets_its_scheduling_back() -> None:
    before = os.sched_getscheduler(0)
    for config, words in (
        (RealtimeConfig(priority=2), ("SCHED_FIFO 2", "ordinary")),
        (RealtimeConfig(scheduler="deadline"), ("SCHED_DEADLINE", "ordinary")),
        (RealtimeConfig(scheduler="none"), ("ordinary",)),
    ):
        with realtime_thread(config, 0.01) as had:
            assert had.startswith(words)
    assert os.sched_getscheduler(0) == before
    assert gc.isenabled()
