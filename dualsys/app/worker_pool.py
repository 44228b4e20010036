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
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from dualsys.app.ctrl_c import CtrlC, watched
from dualsys.bridge.process_life import THREAD_VARIABLES, use_one_torch_thread
from dualsys.errors import BridgeError

Item = TypeVar("Item")
Result = TypeVar("Result")
RECORDED_IS_KEPT = "What is recorded is kept: add --resume to go on, with fewer --workers if memory is short"
"""Advice of those who record."""


def use_one_thread_each() -> None:
    """Unless told otherwise. Read when a library is first loaded, here and in the workers."""
    use_one_torch_thread()  # of a torch that is loaded already: afterwards we seem to have been told
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")


@contextmanager
def worker_pool(
    workers: int, make: Callable[[], Callable[[Item], Result]], *, doing: str, advice: str
) -> Iterator[Callable[[Item], Future[Result]]]:
    """Spawned processes; yields what submits an item to them.

    What is under way when the block ends is waited for. Where it ends with an error, nobody wants that any more: the
    processes end at once. Ctrl-C is for this process alone, and is such an error; pressed again, it hurts nothing.

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
    leash, held = context.Pipe(duplex=False)
    let_go = partial(held.send_bytes, b"leave")  # nobody takes it out, so it is there for all workers
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(make, ended, leash))
    is_through = False
    with leash, held, watched() as ctrl_c:
        try:
            try:
                yield partial(_submit, pool, ctrl_c)
                is_through = True
            finally:
                ctrl_c.hold(let_go)
        except BrokenProcessPool as error:
            raise BridgeError(f"a {doing} process died (out of memory, or killed): {error} {advice}") from error
        finally:
            if not is_through:
                let_go()
            ended.value = 1
            # To its end: broken off, it leaves threads and processes that wait for each other for ever.
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, ctrl_c: CtrlC, item: Any) -> Future[Any]:
    """Give the workers an item; they are started here.

    Ctrl-C must not strike before they have begun: neither here, between starting a process and telling it what it is,
    nor there, where it would be a traceback. They inherit what this thread has blocked.
    """
    with ctrl_c.held():
        # multiprocessing's own helper process, where it starts, unblocks SIGINT in this thread: so not between here.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(_do, item)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _begin(make: Callable[[], Callable[[Any], Any]], ended: Any, leash: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=(leash,), daemon=True).start()
    _workers.append(_Worker(make, ended))


def _do(item: Any) -> Any:
    return _workers[0].do(item)


def leave_with(leash: Connection) -> None:
    """End this process, whatever it does, when it is let go or its parent has died: the pool's pipes would keep it."""
    wait([leash])
    os._exit(1)
