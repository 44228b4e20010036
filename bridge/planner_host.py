"""The planner's process: `python -m dualsys.bridge.planner_host CONFIG.json`.

Ray launches, places and restarts the same host in production (`planner_server`); this plain entry serves tests and
boards without Ray. It goes on from the sequence it finds and counts the epoch up: a restarted planner is a newer one.
"""

import signal
import sys
import threading

from dualsys.bridge.assembly import make_planner_loop
from dualsys.bridge.boxes import Boxes, SharedBoxes, status_box
from dualsys.bridge.parts import build_planner
from dualsys.bridge.planner_loop import PlannerLoop
from dualsys.bridge.process_life import run_process, use_one_torch_thread
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError
from dualsys.telemetry import RunLog


def load_planner_loop(config: SystemConfig, boxes: Boxes) -> PlannerLoop:
    """The planner, built from its checkpoint, in its loop.

    Raises:
        DualsysError: where the planner can't be built or emits other subgoals than the system's.
    """
    planner = build_planner(config.planner, config.subgoal)
    use_one_torch_thread()
    log = None
    if config.log_folder is not None:
        # A file for each start: a restarted planner must not overwrite what the one before it said.
        start = boxes.reader(status_box("planner")).epoch + 1
        log = RunLog(config.log_folder / f"planner.{start}.jsonl", buffered_lines=1)
    return make_planner_loop(config, boxes, planner, log)


def host(config: SystemConfig, stop: threading.Event) -> None:
    """Plan until told to stop."""
    loop = load_planner_loop(config, SharedBoxes(config.folder))
    try:
        loop.run(stop)
    except BridgeError as error:
        # Not a failure of the set-up: another start, with a fresh planner, may help.
        sys.exit(f"BridgeError: {error}")


if __name__ == "__main__":
    sys.exit(run_process(host, death_signal=signal.SIGKILL))
