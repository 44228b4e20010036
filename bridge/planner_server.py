"""`PlannerServer`: the planner's host as a Ray actor, in a process of its own, which Ray starts again when it dies.

It publishes from a thread of its own, so that a subgoal never waits for a Ray call; Ray's calls only ask how it is.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any, final

from dualsys.bridge.planner_host import load_planner, run_planner
from dualsys.bridge.system import SystemConfig
from dualsys.protocols import Planner

_LOGGER = logging.getLogger(__name__)

PLANNER_LOG = "planner.log"
_THREAD_FAILED = 3

ACTOR_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,  # With a CPU asked for, a busy node would leave it pending for ever, without a word.
    "max_restarts": -1,
    "max_task_retries": 0,  # A call that was under way at a death belongs to an old observation: never again.
    "max_concurrency": 3,
}
"""How Ray is asked to run it."""


@final
class PlannerServer:
    """Runs the planner of a run's configuration until its process ends.

    Args:
        config_path: The run's configuration file.

    Raises:
        DualsysError: where the planner can't be built; Ray reports it to whoever asks.
    """

    def __init__(self, config_path: str) -> None:
        config = SystemConfig.load(Path(config_path))
        logging.basicConfig(
            filename=config.folder / PLANNER_LOG,
            format="%(asctime)s %(name)s %(levelname)s %(message)s",
            level=logging.INFO,
            force=True,
        )
        planner = load_planner(config)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(config, planner), name="planner", daemon=True)
        self._thread.start()

    def _run(self, config: SystemConfig, planner: Planner) -> None:
        try:
            run_planner(config, planner, self._stop)
        except BaseException:
            _LOGGER.exception("the planner's loop ended")
            # A process without its loop is of no use: Ray starts another.
            os._exit(_THREAD_FAILED)

    def health(self) -> int:
        """Its process."""
        return os.getpid()
