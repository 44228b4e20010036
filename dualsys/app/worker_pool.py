"""Processes that work for this one, each on something of its own, and leave with it."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from dualsys.bridge.process_life import use_one_torch_thread
from dualsys.errors import BridgeError

Item = TypeVar("Item")
Result = TypeVar("Result")
RECORDED_IS_KEPT = "What is recorded is kept: add --resume to go on, with fewer --workers if memory is short"
"""Advice of those who record."""
_THREADS = ("OMP_NUM_THREADS", "LP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def use_one_thread_each() -> None:
    """Unless told otherwise. Read when a library is first loaded, here and in the workers."""
    use_one_torch_thread()  # of a torch that is loaded already: afterwards we seem to have been told
    for name in _THREADS:
        os.environ.setdefault(name, "1")


@contextmanager
def worker_pool(
    workers: int, make: Callable[[], Callable[[Item], Result]], *, doing: str, advice: str
) -> Iterator[Callable[[Item], Future[Result]]]:
    """Spawned processes; yields what submits an item to them. What is under way when the block ends is waited for.

    Ctrl-C is for this process alone, and ends the block.

    Args:
        workers: How many.
        make: Called once by each, with its first item; what it returns does that item and all others. It is sent there.
        doing: What they do, for the message where one dies.
        advice: What to do then.

    Raises:
        BridgeError: a worker died.
    """
    use_one_thread_each()
    context = multiprocessing.get_context("spawn")
    ended = context.RawValue("b", 0)  # without a lock, which a worker that is killed would keep
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(make, ended))

    def submit(item: Item) -> Future[Result]:
        # Workers are started here, and inherit what is blocked: until they have begun, Ctrl-C would be a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(_do, item)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield submit
    except BrokenProcessPool as error:
        raise BridgeError(f"a {doing} process died (out of memory, or killed): {error} {advice}") from error
    finally:
        ended.value = 1
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """This process's work."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], ended: Any) -> None:
        self._make, self._ended = make, ended
        self._act: Callable[[Any], Any] | None = None

    def do(self, item: Any) -> Any:
        if self._ended.value:  # some items are beyond recall in the pool's queue
            raise CancelledError
        if self._act is None:  # here, not when the process begins: what goes wrong is the item's error
            self._act = self._make()
        return self._act(item)


_workers: deque[_Worker] = deque(maxlen=1)


def _begin(make: Callable[[], Callable[[Any], Any]], ended: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _workers.append(_Worker(make, ended))


def _do(item: Any) -> Any:
    return _workers[0].do(item)


def _leave_with_parent() -> None:
    """End this process when its parent has died: the pool's pipes would keep it waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
