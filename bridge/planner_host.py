"""The planner's process: `python -m dualsys.bridge.planner_host CONFIG.json`.

Ray places and runs the same host in production (`planner_server`); this plain entry serves tests and boards without
Ray. It goes on from the sequence it finds and counts the epoch up: a restarted planner is a newer one.

A host that finds a living planner in its place has loaded everything and waits: it is a standby, and plans within
milliseconds of the other's death.
"""

import logging
import signal
import sys
import threading

import numpy as np

from dualsys.bridge.assembly import make_planner_loop
from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.handshake import Hello, Turn, say_hello
from dualsys.bridge.parts import make_planner, planner_digest
from dualsys.bridge.process_life import run_process, use_one_torch_thread
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError
from dualsys.protocols import Planner
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)


def load_planner(config: SystemConfig) -> Planner:
    """The planner, built from its checkpoint and warmed up. Raises `DualsysError` where it can't be built."""
    planner = make_planner(config.planner)
    use_one_torch_thread()
    try:
        planner.plan(config.embodiment.fake_observation(np.random.default_rng(0)))
    except Exception as error:
        # Some planners know only the words of their tasks; whether it plans is seen when it is asked in earnest.
        _LOGGER.info("the warm-up gave nothing: %s", error)
    return planner


def run_planner(config: SystemConfig, planner: Planner, stop: threading.Event) -> None:
    """Shake hands, wait until no other planner is in place, then plan until told to stop.

    Raises:
        BridgeError: stopped while waiting.
    """
    say_hello(config.folder, Hello.of(planner.subgoal_spec, planner_digest(config.planner)), stop)
    boxes = SharedBoxes(config.folder)
    loop = make_planner_loop(config, boxes, planner, wait=Turn(config.folder, stop))
    if config.log_folder is None:
        loop.run(stop)
        return
    # A file for each start: a restarted planner must not overwrite what the one before it said.
    start = boxes.reader(status_box("planner")).epoch
    with RunLog(config.log_folder / f"planner.{start}.jsonl", buffered_lines=1) as log:
        loop.log_to(log)
        loop.run(stop)


def host(config: SystemConfig, stop: threading.Event) -> None:
    """Load, then plan until told to stop."""
    planner = load_planner(config)
    try:
        run_planner(config, planner, stop)
    except BridgeError:
        if not stop.is_set():
            raise


if __name__ == "__main__":
    sys.exit(run_process(host, death_signal=signal.SIGKILL))
