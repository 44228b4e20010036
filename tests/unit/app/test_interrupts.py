"""Ctrl-C at a command with workers: one line, no traceback, nothing left, however often and whenever it is pressed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120.0
"""Much less than the workers sleep, and enough for a machine with much else to do."""


def living(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # processes end while we look
            if entry.name.isdigit():
                state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state != "Z":
                    found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.001)


@contextmanager
def command(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`dualsys` in a session of its own, nothing of which outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.app.interrupted", *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def press(process: "subprocess.Popen[str]", gaps_s: tuple[float, ...]) -> None:
    """Ctrl-C, as every process of a terminal takes it, and again after each gap."""
    for gap_s in (0.0, *gaps_s):
        time.sleep(gap_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)


def require_ended(process: "subprocess.Popen[str]", *, is_alone: bool = True) -> None:
    """With one line, which stands alone unless the command draws its progress there."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "dualsys: interrupted"
    assert not is_alone or errors.count("\n") == 1
    wait_until(lambda: not living(process.pid), "processes are left")


@pytest.mark.parametrize(
    "gaps_s", [(), (0.0,), (0.05,), (0.3,), (0.001,) * 400], ids=["once", "0", "50ms", "300ms", "often"]
)
@pytest.mark.parametrize(("when", "awaited"), [("in the block", "2"), ("ending", "ending")])
def test_ctrl_c_ends_workers_that_are_busy_however_often_it_is_pressed(
    tmp_path: Path, gaps_s: tuple[float, ...], when: str, awaited: str
) -> None:
    """They are interrupted in the block, or while what is under way at its end is waited for."""
    with command("sleep", str(tmp_path), when) as process:
        wait_until((tmp_path / awaited).exists, "the workers have not begun")
        press(process, gaps_s)
        require_ended(process)


def children(process_id: int) -> list[int]:
    """In the order in which they were started."""
    with suppress(FileNotFoundError):
        return [int(each) for each in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("gaps_s", [(), (0.3,)], ids=["once", "twice"])
@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
def test_ctrl_c_while_workers_are_started_is_no_traceback(
    tmp_path: Path, gaps_s: tuple[float, ...], delay_s: float
) -> None:
    """After the helper process of multiprocessing comes the first worker: it is told what it is after it has begun."""
    with command("sleep", str(tmp_path)) as process:
        wait_until(lambda: len(children(process.pid)) >= 2, "no worker was started")
        time.sleep(delay_s)
        press(process, gaps_s)
        require_ended(process)


def num_importing(process_id: int) -> int:
    """Children of more than 24 MiB: Python alone, as it waits for what it is to do, has half of that."""
    total = 0
    for child in children(process_id):
        with suppress(OSError):
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE") > 24 * 2**20
    return total


@pytest.mark.slow
@pytest.mark.parametrize("gaps_s", [(), (0.3,)], ids=["once", "twice"])
def test_an_evaluation_whose_workers_import_ends_with_one_line(gaps_s: tuple[float, ...]) -> None:
    with command("eval", "humanoid/touch", "--episodes", "500", "--workers", "2") as process:
        wait_until(lambda: num_importing(process.pid) == 2, "the workers have not begun")
        press(process, gaps_s)
        require_ended(process)


@pytest.mark.slow
def test_a_recording_under_way_ends_and_can_be_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "touch"
    words = ["demos", "humanoid/touch", "--out", str(out), "--workers", "2", "--episodes"]
    with command(*words, "500") as process:
        wait_until(lambda: len(list(out.glob(".recording/*.npz"))) > 1, "nothing was recorded")
        press(process, (0.3,))
        require_ended(process, is_alone=False)
    kept = len(list(out.glob(".recording/*.npz")))
    with command(*words, str(kept), "--resume") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    assert json.loads((out / "meta/info.json").read_text())["total_episodes"] == kept


WITHOUT_HELPER = """
import os, signal
from multiprocessing import resource_tracker
from functools import partial
from dualsys.app.worker_pool import worker_pool
def blocked(item):
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])
def make():
    return blocked
if __name__ == "__main__":
    with worker_pool(1, make, doing="looking", advice="") as submit:
        helper = resource_tracker._resource_tracker._pid
        os.kill(helper, signal.SIGKILL)
        os.waitid(os.P_PID, helper, os.WEXITED | os.WNOWAIT)
        print(signal.SIGINT in submit(0).result())
"""


def test_workers_begin_without_ctrl_c_even_where_multiprocessing_s_helper_starts_with_them(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(WITHOUT_HELPER)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "look.py")],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr
