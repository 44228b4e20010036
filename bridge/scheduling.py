"""The kernel's real-time scheduling classes: asked for, never required, and what came of it in words.

`fifo` is SCHED_FIFO: before everything ordinary, by a fixed priority. `deadline` is SCHED_DEADLINE: so much computing
time in each period, admitted by the kernel, before FIFO. What the kernel wants of SCHED_DEADLINE (sched(7)):

* A task may not be bound to fewer CPUs than its cpuset has: no affinity, before or after.
* It may not start children, unless they begin with ordinary scheduling, which is asked for here.
* All such tasks together get at most what `sched_rt_runtime_us` leaves (95 % of each CPU).
* One that uses its time up is suspended until its next period.
"""

import ctypes
import errno
import os
import platform

from dualsys.settings import RealtimeConfig

SCHED_DEADLINE = 6
_RESET_ON_FORK = 0x01
_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "armv7l": 380, "armv6l": 380}
"""Number of the call `sched_setattr` by machine. Raspberry Pi and Jetson are `aarch64`, 32-bit systems `armv7l`."""


class _Attributes(ctypes.Structure):
    """`struct sched_attr` in its first version, times in nanoseconds."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def schedule(config: RealtimeConfig, period_s: float) -> str:
    """Give the calling thread the class that is asked for; returns what it has, or why it has none.

    Args:
        config: Which class, and its numbers.
        period_s: Time between two ticks.
    """
    if config.scheduler == "none":
        return "ordinary: not asked for more"
    if config.scheduler == "fifo":
        return _fifo(config.priority)
    return _deadline(config.runtime_share * period_s, period_s)


def is_realtime(had: str) -> bool:
    """Whether what `schedule` returned is a real-time class."""
    return had.startswith("SCHED_")


def _fifo(priority: int) -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"ordinary: SCHED_FIFO {priority}: {error.strerror} (needs CAP_SYS_NICE or an rtprio limit)"
    return f"SCHED_FIFO {priority}"


def _deadline(runtime_s: float, period_s: float) -> str:
    wanted = f"SCHED_DEADLINE {1e6 * runtime_s:.0f} us in {1e6 * period_s:.0f} us"
    number = _SETATTR.get(platform.machine())
    if number is None:
        return f"ordinary: {wanted}: no number of sched_setattr is known for {platform.machine()}"
    attributes = _Attributes(
        size=ctypes.sizeof(_Attributes),
        policy=SCHED_DEADLINE,
        flags=_RESET_ON_FORK,
        runtime_ns=round(1e9 * runtime_s),
        deadline_ns=round(1e9 * period_s),
        period_ns=round(1e9 * period_s),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), ctypes.c_int(0), ctypes.byref(attributes), ctypes.c_uint(0)) == 0:
        return wanted
    code = ctypes.get_errno()
    return f"ordinary: {wanted}: {os.strerror(code)} ({_WHY.get(code, 'see sched(7)')})"


_WHY = {
    errno.EPERM: "needs CAP_SYS_NICE, and all CPUs of its cpuset: no affinity",
    errno.EBUSY: "not so much computing time is left; lower --realtime.runtime-share",
    errno.EINVAL: "the kernel takes periods of 100 us to 4 s",
    errno.ENOSYS: "this kernel has no SCHED_DEADLINE",
}
