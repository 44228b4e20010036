"""What `dualsys doctor` finds of scheduling: what the tick would get, and how the kernel is set up for it."""

import subprocess
import sys
from pathlib import Path

from dualsys.app.finding import Finding

_PERIOD_S = 0.002
_PROGRAM = (
    "import sys; from dualsys.bridge.realtime import lock_memory; from dualsys.bridge.scheduling import schedule; "
    "from dualsys.settings import RealtimeConfig; "
    "print(schedule(RealtimeConfig(scheduler=sys.argv[1]), float(sys.argv[2]))); print(lock_memory())"
)
SYSTEM = Path("/")
"""Where the kernel's files are."""


def scheduling() -> Finding:
    """Which scheduling classes and how much locked memory the tick would get, tried in processes of their own."""
    fifo, memory = _try("fifo")
    deadline, _ = _try("deadline")
    found = {"SCHED_FIFO": fifo, "SCHED_DEADLINE": deadline, "memory": memory}
    detail = "; ".join(had if had.startswith(key) else f"{key}: {had}" for key, had in found.items())
    if fifo.startswith("SCHED_FIFO") and memory.startswith("locked"):
        return Finding(status="ok", detail=detail)
    return Finding(
        status="warn",
        detail=f"{detail}: the tick keeps its rate but is late more often",
        fix="in /etc/security/limits.conf: '@realtime - rtprio 90' and '@realtime - memlock unlimited'; join the group",
    )


def kernel() -> Finding:
    """What decides how late a tick may be on this kernel."""
    preemption = "PREEMPT_RT" if _read("sys/kernel/realtime") == "1" else "no PREEMPT_RT"
    isolated = _read("sys/devices/system/cpu/isolated") or "none"
    governors = sorted(
        {path.read_text().strip() for path in SYSTEM.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    )
    runtime_us, period_us = (_read(f"proc/sys/kernel/sched_rt_{name}_us") for name in ("runtime", "period"))
    throttled = "never" if runtime_us == "-1" else f"beyond {runtime_us or '?'} us in {period_us or '?'} us"
    detail = (
        f"{preemption}; isolated CPUs: {isolated}; governor: {', '.join(governors) or 'not told'}; "
        f"real-time tasks are throttled {throttled}"
    )
    slow = [governor for governor in governors if governor != "performance"]
    if slow:
        fix = "sudo cpupower frequency-set -g performance: else a CPU that has slept wakes slowly"
        return Finding(status="warn", detail=detail, fix=fix)
    return Finding(status="ok", detail=detail)


def _try(scheduler: str) -> tuple[str, str]:
    """What a class and locking memory came to, in words."""
    command = [sys.executable, "-c", _PROGRAM, scheduler, str(_PERIOD_S)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != 2:
        words = done.stderr.strip().splitlines() or ["no message"]
        return f"not tried: {words[-1]}", f"not tried: {words[-1]}"
    return lines[0], lines[1]


def _read(path: str) -> str:
    file = SYSTEM / path
    return file.read_text().strip() if file.is_file() else ""
