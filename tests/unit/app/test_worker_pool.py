"""Workers: made once each, their errors are their own, and one that dies is said."""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from dualsys.app.worker_pool import use_one_thread_each, worker_pool
from dualsys.bridge.process_life import THREAD_VARIABLES
from dualsys.errors import BridgeError, ConfigError


def counting(start: int) -> Callable[[int], tuple[int, int]]:
    """Adds items up; tells its process, too."""
    total = start

    def add(item: int) -> tuple[int, int]:
        nonlocal total
        total += item
        return os.getpid(), total

    return add


def refusing() -> Callable[[int], int]:
    raise ConfigError("no planner of that name")


def dying() -> Callable[[int], int]:
    return os._exit


def test_each_worker_is_made_once_and_does_many_items() -> None:
    with worker_pool(2, partial(counting, 100), doing="counting", advice="") as submit:
        results = [future.result() for future in [submit(1) for _ in range(40)]]
    counted = {process: [total for each, total in results if each == process] for process, _ in results}
    assert os.getpid() not in counted
    assert all(sorted(totals) == list(range(101, 101 + len(totals))) for totals in counted.values())
    assert sum(map(len, counted.values())) == 40


def test_what_cannot_be_made_is_the_item_s_error() -> None:
    with (
        pytest.raises(ConfigError, match=r"^no planner of that name$"),
        worker_pool(1, refusing, doing="counting", advice="") as submit,
    ):
        submit(1).result()


def test_a_worker_that_dies_is_said_with_what_to_do() -> None:
    with (
        pytest.raises(BridgeError, match=r"^a counting process died \(out of memory, or killed\): .* Count again$"),
        worker_pool(1, dying, doing="counting", advice="Count again") as submit,
    ):
        submit(3).result()


def marking(folder: Path) -> Callable[[int], None]:
    """Marks each item as begun; all but the first wait for the file `go`."""

    def mark(item: int) -> None:
        (folder / str(item)).touch()
        while item and not (folder / "go").exists():
            time.sleep(0.01)

    return mark


def test_what_has_not_begun_when_the_block_ends_is_not_done(tmp_path: Path) -> None:
    go = threading.Timer(2.0, (tmp_path / "go").touch)
    with worker_pool(1, partial(marking, tmp_path), doing="marking", advice="") as submit:
        futures = [submit(item) for item in range(6)]
        futures[0].result()
        go.start()
    go.cancel()
    assert {path.name for path in tmp_path.iterdir()} <= {"0", "1", "go"}


def test_ctrl_c_is_handled_as_before_behind_a_pool() -> None:
    """And what is set while there is one stays: a command that was interrupted ignores Ctrl-C as it ends."""
    before = signal.getsignal(signal.SIGINT)
    try:
        for chosen in (None, signal.SIG_IGN):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with worker_pool(1, partial(counting, 0), doing="counting", advice=""):
                if chosen is not None:
                    signal.signal(signal.SIGINT, chosen)
            assert signal.getsignal(signal.SIGINT) == (chosen or signal.default_int_handler)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_pool_may_be_used_beside_the_main_thread() -> None:
    """Where Python sets no handlers, and raises nothing."""
    results: list[int] = []

    def use() -> None:
        with worker_pool(1, partial(counting, 0), doing="counting", advice="") as submit:
            results.append(submit(3).result()[1])

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert results == [3]


def test_a_torch_that_is_there_has_one_thread_and_those_to_come_have_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    use_one_thread_each()
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (2, "2"), "it was told so"
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    try:
        use_one_thread_each()
        assert torch.get_num_threads() == 1
        assert {os.environ[name] for name in THREAD_VARIABLES} == {"1"}
        assert "MKL_NUM_THREADS" in THREAD_VARIABLES
    finally:
        torch.set_num_threads(before)
