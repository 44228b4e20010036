"""Harm to a process, by its number: killed, stopped, slowed. For planners, actors, anything of one's own.

Only what one started oneself should be harmed: a number may have passed to another process by the time it is used.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def kill(pid: int) -> None:
    """End it at once, without a chance to say anything (SIGKILL). Raises `ProcessLookupError` where there is none."""
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    """Stop it where it is (SIGSTOP): it lives, keeps its locks and says nothing, as one that hangs."""
    os.kill(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    """Let a stopped process go on (SIGCONT). One that has died meanwhile is left alone."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stopped for the length of a block."""
    stop(pid)
    try:
        yield
    finally:
        go_on(pid)


@contextmanager
def slowed(pid: int, share: float, *, period_s: float = 0.02) -> Iterator[None]:
    """Runs for a share of the time only, for the length of a block: stopped and let go on again and again.

    Args:
        pid: Whom.
        share: Of the time in which it may run, above 0 and below 1.
        period_s: Time from one stop to the next.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it must lie between 0 (use `stopped`) and 1 (do nothing)")
    ended = threading.Event()
    pacer = threading.Thread(target=_pace, args=(pid, share * period_s, (1 - share) * period_s, ended), daemon=True)
    pacer.start()
    try:
        yield
    finally:
        ended.set()
        pacer.join()
        go_on(pid)


def _pace(pid: int, runs_s: float, stands_s: float, ended: threading.Event) -> None:
    while not ended.wait(runs_s):
        try:
            stop(pid)
        except ProcessLookupError:  # it has ended, and needs no slowing
            return
        ended.wait(stands_s)
        go_on(pid)


def waited_s(pid: int) -> float:
    """Time for which a process was ready to run and no processor was free, or a host had taken it, in seconds.

    What a process missed for want of a processor is the machine's doing. One that waits for another process sleeps, and
    sleeping isn't counted here. Of the process's main thread, from Linux's `schedstat`, and the whole machine's steal
    time; 0 where the kernel doesn't tell.

    Raises `ProcessLookupError` where there is no such process.
    """
    try:
        queued_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
        stolen = int(Path("/proc/stat").read_text().split(maxsplit=9)[8])
    except FileNotFoundError:
        os.kill(pid, 0)
        return 0.0
    return queued_ns / 1e9 + stolen / os.sysconf("SC_CLK_TCK")
