"""Real-time settings of the tick's process: asked for, never required, and what was had is reported."""

import ctypes
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualsys.bridge.system import RealtimeConfig

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PR_SET_TIMERSLACK = 29
_CAP_IPC_LOCK = 14
ANY_CPU = -2
LAST_CPU = -1


def enter_realtime(config: RealtimeConfig) -> dict[str, Any]:
    """Freeze the garbage collector, pin, lock memory, tighten timers, take a real-time priority.

    Returns:
        What was had, by setting: a value, or why not.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    # The priority comes last: locking takes a tenth of a second, in which another robot's tick must not stand still.
    memory = _lock_memory() if config.lock_memory else "not asked for"
    timers = tighten_timers()
    scheduler = _schedule(config.priority)
    # Pinned without a priority it would wait for whoever else is busy on that CPU.
    cpu = _pin(config.cpu) if scheduler.startswith("SCHED_FIFO") else "any: no real-time priority"
    return {"gc": "frozen", "memory": memory, "timer_slack": timers, "scheduler": scheduler, "cpu": cpu}


def leave_realtime() -> None:
    """Give the priority back: what follows the last tick is in no hurry."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    gc.enable()


@contextmanager
def realtime_thread(config: RealtimeConfig) -> Iterator[str]:
    """Give the calling thread a real-time priority inside, and its former one back; yields what was had."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield _schedule(config.priority)
    finally:
        os.sched_setscheduler(0, policy, parameter)


def _pin(cpu: int) -> Any:
    if cpu == ANY_CPU:
        return "any"
    wanted = max(os.sched_getaffinity(0)) if cpu == LAST_CPU else cpu
    try:
        os.sched_setaffinity(0, {wanted})
    except OSError as error:
        return f"not pinned to {wanted}: {error.strerror}"
    return wanted


def _lock_memory() -> str:
    # Under a limit, locking what is yet to be allocated would make allocations fail later.
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY or _has_ipc_lock()
    flags = _MCL_CURRENT | _MCL_FUTURE if unlimited else _MCL_CURRENT
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(flags) != 0:
        return f"not locked: {os.strerror(ctypes.get_errno())} (needs CAP_IPC_LOCK or a memlock limit)"
    return "locked" if unlimited else "locked as far as it was allocated at start"


def _has_ipc_lock() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def tighten_timers() -> str:
    """Have sleeps of this process end when they should, instead of up to 50 us later; returns what was had."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0) != 0:
        return f"default: {os.strerror(ctypes.get_errno())}"
    return "1 ns"


def _schedule(priority: int) -> str:
    if priority == 0:
        return "ordinary: not asked for more"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"ordinary: SCHED_FIFO {priority}: {error.strerror} (needs CAP_SYS_NICE or an rtprio limit)"
    return f"SCHED_FIFO {priority}"
