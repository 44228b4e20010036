"""Ray's process: `python -m dualsys.bridge.ray_driver CONFIG.json [ADDRESS]`.

A driver of its own, so that neither the tick nor the actor nor the supervisor depends on Ray's life: when Ray's head
dies, its drivers and workers exit a minute later. It starts a local cluster or joins the one at ADDRESS, places the
planner on this node, reports how it is, and takes everything down at the end.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.planner_server import ACTOR_OPTIONS, PlannerServer
from dualsys.bridge.process_life import run_process
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.system import SystemConfig
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError

_LOGGER = logging.getLogger(__name__)

SETTINGS: Final = {
    # A call to a planner that was killed fails within milliseconds instead of seconds.
    "RAY_timeout_ms_task_wait_for_death_info": "0",
    # Ray's ports are open to the network of the machine: whoever uses them must hold the token.
    "RAY_AUTH_MODE": "token",
    # An actor that asks for no accelerator sees them all the same, as any process does.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Set before ray is imported, unless the user has set them."""

OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's smallest object store: nothing of ours goes through it."""
HEALTH_PERIOD_S = 0.5
START_ATTEMPTS = 3
_HEALTH_TIMEOUT_S = 5.0


def drive(config: SystemConfig, stop: threading.Event, address: str | None = None) -> None:
    """Keep a planner server, and its standbys, running until told to stop."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = _import_ray()
    reporter = Reporter(SharedBoxes(config.folder).writer(status_box("launcher")), MonotonicClock())
    try:
        _start_ray(ray, address)
        servers = [_place_server(ray, config) for _ in range(1 + config.planner_standbys)]
        while not stop.is_set():
            state = ", ".join(_health(ray, server) for server in servers)
            reporter.publish({"state": state, "address": address or "local"})
            stop.wait(HEALTH_PERIOD_S)
        for server in servers:
            ray.kill(server, no_restart=True)
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise BridgeError("the Ray launcher needs ray: pip install ray, or use --launcher subprocess") from error
    return ray


def _start_ray(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"num_cpus": 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(**options)
        except Exception as error:
            # Ray raises whatever its layers raise; on a busy machine its daemons may just have taken too long.
            ray.shutdown()
            where = f"join the Ray cluster at {address}" if address else "start a local Ray cluster"
            _LOGGER.warning("attempt %d to %s: %s", attempt, where, error)
            if attempt == START_ATTEMPTS:
                raise BridgeError(f"cannot {where}: {error}; --launcher subprocess does without Ray") from error
        else:
            return


def _place_server(ray: Any, config: SystemConfig) -> Any:
    """The server, on this node: it writes into this node's memory."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    server_class = ray.remote(PlannerServer).options(**ACTOR_OPTIONS, scheduling_strategy=here)
    return server_class.remote(str(config.folder / "config.json"))


def _health(ray: Any, server: Any) -> str:
    """`alive`, `unavailable` while it is being started again, `slow` when it doesn't answer.

    Raises `BridgeError` when it could not be set up: another start would not help.
    """
    try:
        ray.get(server.health.remote(), timeout=_HEALTH_TIMEOUT_S)
    except ray.exceptions.GetTimeoutError:
        return "slow"
    except ray.exceptions.ActorUnavailableError:
        return "unavailable"
    except ray.exceptions.ActorDiedError as error:
        raise BridgeError(f"the planner could not be set up: {error}") from error
    return "alive"


def main() -> int:
    """Entry of the process."""
    config, *address = sys.argv[1:] or [""]
    return run_process(
        lambda system, stop: drive(system, stop, address[0] if address else None),
        death_signal=signal.SIGTERM,
        arguments=[str(Path(config))],
    )


if __name__ == "__main__":
    sys.exit(main())
