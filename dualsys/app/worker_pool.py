"""Processes that record for this one, and leave with it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from dualsys.errors import DatasetError

Work = TypeVar("Work")
_THREADS = ("OMP_NUM_THREADS", "LP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def use_one_thread_each() -> None:
    """Unless told otherwise. Read when a library is first loaded, here and in the workers."""
    for name in _THREADS:
        os.environ.setdefault(name, "1")


@contextmanager
def worker_pool(workers: int, start: Callable[[Work], None], work: Work) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes, each begun with `start(work)`. What is under way when the block ends is waited for.

    Ctrl-C is for this process alone, and ends the block. Raises `DatasetError` where a worker dies.
    """
    use_one_thread_each()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(start, work))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise DatasetError(
            f"a recording process died (out of memory, or killed): {error} What is recorded is kept: add --resume "
            "to go on, with fewer --workers if memory is short"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[[Work], None], work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    start(work)


def _leave_with_parent() -> None:
    """End this process when its parent has died: the pool's pipes would keep it waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
