"""The actor's process: `python -m dualsys.bridge.actor_process CONFIG.json`."""

import logging
import signal
import sys
import threading

import numpy as np

from dualsys.bridge.assembly import make_actor_loop
from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.parts import build_actor
from dualsys.bridge.process_life import run_process, use_one_torch_thread
from dualsys.bridge.system import SystemConfig
from dualsys.protocols import Actor
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)


def load_actor(config: SystemConfig) -> Actor:
    """The actor, warmed up. Raises `DualsysError` where it can't be built or is for another robot."""
    actor = build_actor(config.actor, config.embodiment, config.subgoal)
    use_one_torch_thread()
    try:
        # The first run of a model allocates and chooses kernels: better now than in the first moments of motion.
        actor.act(config.embodiment.fake_observation(np.random.default_rng(0)), None)
    except Exception as error:
        _LOGGER.warning("the warm-up failed: %s", error, exc_info=error)
    return actor


def act(config: SystemConfig, stop: threading.Event) -> None:
    """Answer requests until told to stop."""
    boxes = SharedBoxes(config.folder)
    actor = load_actor(config)
    log = None
    if config.log_folder is not None:
        start = boxes.reader(status_box("actor")).epoch + 1
        log = RunLog(config.log_folder / f"actor.{start}.jsonl", buffered_lines=1)
    make_actor_loop(config, boxes, actor, log).run(stop)


if __name__ == "__main__":
    sys.exit(run_process(act, death_signal=signal.SIGKILL))
