"""The cameras' process: `python -m dualsys.bridge.camera_process CONFIG.json`."""

import signal
import sys
import threading

from dualsys.bridge.assembly import make_camera_loop
from dualsys.bridge.boxes import SharedBoxes
from dualsys.bridge.parts import build_environment
from dualsys.bridge.process_life import run_process
from dualsys.bridge.system import SystemConfig


def draw(config: SystemConfig, stop: threading.Event) -> None:
    """Draw until told to stop."""
    environment = build_environment(config.environment)
    try:
        make_camera_loop(config, SharedBoxes(config.folder), environment).run(stop)
    finally:
        environment.close()


if __name__ == "__main__":
    sys.exit(run_process(draw, death_signal=signal.SIGKILL))
