"""How our processes begin and end: with their parent, on SIGTERM, with a message where they can't begin."""

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dualsys.bridge.system import SystemConfig
from dualsys.errors import DualsysError

SUPERVISOR_VARIABLE = "DUALSYS_SUPERVISOR_PID"
"""Names the process that ours must not outlive."""
SETUP_FAILED = 2
"""Exit status of a process that could not be set up: starting it again would not help."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")
"""What libraries read their number of threads from when they are loaded: torch, numpy's two, Mesa's rasteriser."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: signal.Signals) -> None:
    """Have the kernel signal this process when its parent ends. Exits at once when it has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        logging.getLogger(__name__).warning("prctl(PR_SET_PDEATHSIG): %s", os.strerror(ctypes.get_errno()))
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is not None and os.getppid() != int(supervisor):
        sys.exit(f"the supervisor (process {supervisor}) has ended")


def stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets, for loops to end on."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    return stop


def child_environment() -> dict[str, str]:
    """Environment of a child: ours, one thread for every library, and whom not to outlive."""
    environment = dict(os.environ)
    for name in THREAD_VARIABLES:
        environment.setdefault(name, "1")
    environment[SUPERVISOR_VARIABLE] = str(os.getpid())
    return environment


def end_session(session: int) -> list[int]:
    """Kill what a child left behind in its session; the processes.

    Ray's agents live on for a minute when their cluster was killed instead of shut down.
    """
    ended: list[int] = []
    for entry in Path("/proc").iterdir():
        # Processes end while we look.
        with suppress(OSError):
            if entry.name.isdigit() and _session_of(entry) == session:
                os.kill(int(entry.name), signal.SIGKILL)
                ended.append(int(entry.name))
    return ended


def _session_of(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[3])


def use_one_torch_thread() -> None:
    """Set torch to one thread in this process, unless OMP_NUM_THREADS says otherwise. Imports nothing.

    On a CPU shared with others more threads are many times slower. Parts without a network never import torch.
    """
    torch = sys.modules.get("torch")
    if torch is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def run_process(
    body: Callable[[SystemConfig, threading.Event], None],
    *,
    death_signal: signal.Signals,
    arguments: list[str] | None = None,
) -> int:
    """Entry of a process: `python -m MODULE CONFIG.json`. Returns the exit status."""
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.INFO)
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        sys.stderr.write("expected one argument: the run's configuration file\n")
        return SETUP_FAILED
    stop = stop_on_sigterm()
    die_with_parent(death_signal)
    try:
        body(SystemConfig.load(Path(given[0])), stop)
    except DualsysError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return SETUP_FAILED
    return 0
