"""`PlannerServer`: the planner's host as a Ray actor, in a process of its own.

Its one long call, `serve`, loads the planner and plans in a thread of the actor's pool: no subgoal waits for a call.
Ray doesn't start it again: the supervisor decides when (`planner_keeper`), as for any other host.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any, final

from dualsys.bridge.planner_host import host
from dualsys.bridge.system import SystemConfig
from dualsys.errors import DualsysError

_LOGGER = logging.getLogger(__name__)

PLANNER_LOG = "planner.log"

ACTOR_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,  # With a CPU asked for, a busy node would leave it pending for ever, without a word.
    "max_restarts": 0,  # Ray's own restarts know neither back-off nor an end.
    "max_task_retries": 0,  # A call that was under way at a death belongs to an old observation: never again.
    "max_concurrency": 3,
}
"""How Ray is asked to run it."""


@final
class PlannerServer:
    """Runs the planner of a run's configuration until its process ends.

    Args:
        config_path: The run's configuration file.
        index: Which host of the run it is.
    """

    def __init__(self, config_path: str, index: int = 0) -> None:
        self._config_path = Path(config_path)
        self._index = index
        self._stop = threading.Event()

    def pid(self) -> int:
        """Its process."""
        return os.getpid()

    def serve(self) -> tuple[str, bool]:
        """Load and plan until the end; why it ended, and whether it had been set up. What it raises is told so, too."""
        try:
            config = SystemConfig.load(self._config_path)
            log = config.folder / PLANNER_LOG
            logging.basicConfig(
                filename=log if self._index == 0 else log.with_stem(f"{log.stem}.standby{self._index}"),
                format="%(asctime)s %(name)s %(levelname)s %(message)s",
                level=logging.INFO,
                force=True,
            )
            host(config, self._stop)
        except DualsysError as error:
            _LOGGER.exception("the planner could not be set up")
            return f"{type(error).__name__}: {error}", False
        except Exception as error:
            # Ray would have to unpickle it elsewhere, where its class may not be.
            _LOGGER.exception("the planner's host ended")
            return f"{type(error).__name__}: {error}", True
        return "told to stop", True
