"""A tick's process that dies with its tape half made: `python -m ...tick_with_half_a_tape CONFIG.json`."""

import sys
import threading
from signal import SIGTERM

from dualsys.bridge.process_life import run_process
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError


def tick(config: SystemConfig, stop: threading.Event) -> None:
    """Leave a file that is no tape."""
    del stop
    config.tape.write_bytes(bytes(100))
    raise BridgeError("the memory was full in the midst of it")


if __name__ == "__main__":
    sys.exit(run_process(tick, death_signal=SIGTERM))
