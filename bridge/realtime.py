"""Real-time settings of the tick's process: asked for, never required, and what was had is reported."""

import ctypes
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualsys.bridge.scheduling import SCHED_DEADLINE, is_realtime, schedule
from dualsys.settings import RealtimeConfig

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PR_SET_TIMERSLACK = 29
_CAP_IPC_LOCK = 14
ANY_CPU = -2
LAST_CPU = -1
_NOT_ASKED = "not asked for"


def enter_realtime(config: RealtimeConfig, period_s: float) -> dict[str, Any]:
    """Freeze the garbage collector, lock memory, tighten timers, take a real-time class, pin.

    Args:
        config: What is asked for.
        period_s: Time between two ticks.

    Returns:
        What was had, by setting: a value, or why not.
    """
    collector = _freeze_gc() if config.freeze_gc else _NOT_ASKED
    # The class comes last: locking takes a tenth of a second, in which another robot's tick must not stand still.
    memory = lock_memory() if config.lock_memory else _NOT_ASKED
    timers = tighten_timers()
    scheduler = schedule(config, period_s)
    return {
        "gc": collector,
        "memory": memory,
        "timer_slack": timers,
        "scheduler": scheduler,
        "cpu": _pin(config.cpu, scheduler),
    }


def leave_realtime() -> None:
    """Give the class back: what follows the last tick is in no hurry."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    gc.enable()


@contextmanager
def realtime_thread(config: RealtimeConfig, period_s: float) -> Iterator[str]:
    """Give the calling thread a real-time class inside, and its former one back; yields what was had."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield schedule(config, period_s)
    finally:
        os.sched_setscheduler(0, policy, parameter)


def had_less(had: dict[str, Any]) -> list[str]:
    """Of what `enter_realtime` returned, what was asked for and not had, in words."""
    words = {name: str(value) for name, value in had.items()}
    lacking = ("ordinary: SCHED", "not locked", "not pinned", "default:")
    return [f"{name}: {value}" for name, value in words.items() if value.startswith(lacking)]


def _freeze_gc() -> str:
    gc.collect()
    gc.freeze()
    gc.disable()
    return "frozen"


def _pin(cpu: int, scheduler: str) -> Any:
    # Pinned without a priority it would wait for whoever else is busy on that CPU.
    if not is_realtime(scheduler):
        return "any: no real-time priority"
    if os.sched_getscheduler(0) & 0xFF == SCHED_DEADLINE:
        return "any: SCHED_DEADLINE goes where there is time"
    if cpu == ANY_CPU:
        return "any"
    wanted = max(os.sched_getaffinity(0)) if cpu == LAST_CPU else cpu
    try:
        os.sched_setaffinity(0, {wanted})
    except OSError as error:
        return f"not pinned to {wanted}: {error.strerror}"
    return wanted


def lock_memory() -> str:
    """Keep all pages of this process in memory; returns what was had."""
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
