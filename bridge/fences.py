"""Memory fences for the shared-memory mailbox.

x86-64 keeps stores in order and loads in order, so nothing is needed there. Elsewhere (aarch64) a seqlock without
fences is formally broken: numpy and memoryview stores carry no release or acquire. There we call libatomic's
`atomic_thread_fence`; without libatomic two uncontended lock round trips act as one.
"""

import ctypes
import ctypes.util
import functools
import platform
import threading
from collections.abc import Callable

Fence = Callable[[], None]

_SEQUENTIALLY_CONSISTENT = 5
_ORDERED_MACHINES = frozenset({"x86_64", "AMD64"})


def is_strongly_ordered() -> bool:
    """True where the machine itself keeps the order a seqlock needs."""
    return platform.machine() in _ORDERED_MACHINES


def make_fence(*, strongly_ordered: bool) -> Fence:
    """The cheapest full fence that is right on a machine which keeps order itself, or doesn't."""
    if strongly_ordered:
        return _no_fence
    return _libatomic_fence() or _lock_fence()


def _no_fence() -> None:
    return None


@functools.cache
def _libatomic_fence() -> Fence | None:
    """Once a process: looking for a library under all its names starts a compiler."""
    try:
        try:
            library = ctypes.CDLL("libatomic.so.1")
        except OSError:
            library = ctypes.CDLL(ctypes.util.find_library("atomic") or "libatomic.so")
        thread_fence = library.atomic_thread_fence
    except (OSError, AttributeError):
        return None
    thread_fence.argtypes = [ctypes.c_int]
    thread_fence.restype = None

    def fence() -> None:
        thread_fence(_SEQUENTIALLY_CONSISTENT)

    return fence


def _lock_fence() -> Fence:
    first, second = threading.Lock(), threading.Lock()

    def fence() -> None:
        with first:
            pass
        with second:
            pass

    return fence
