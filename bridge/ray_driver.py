"""Ray's process: `python -m dualsys.bridge.ray_driver CONFIG.json [ADDRESS]`.

A driver of its own, so that neither the tick nor the actor nor the supervisor depends on Ray's life: when Ray's head
dies, its drivers and workers exit a minute later. It starts a local cluster or joins the one at ADDRESS, places the
planner on this node, reports how it is, and takes everything down at the end.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.planner_server import ACTOR_OPTIONS, PlannerServer
from dualsys.bridge.process_life import run_process
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.system import SystemConfig
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError

HEALTH_PERIOD_S = 0.5
_HEALTH_TIMEOUT_S = 5.0


def drive(config: SystemConfig, stop: threading.Event, address: str | None = None) -> None:
    """Keep a planner server, and its standbys, running until told to stop."""
    reporter = Reporter(SharedBoxes(config.folder).writer(status_box("launcher")), MonotonicClock())
    ray = start_ray(address, num_cpus=1, without="--launcher subprocess")
    try:
        servers = [_place_server(ray, config) for _ in range(1 + config.planner_standbys)]
        while not stop.is_set():
            state = ", ".join(_health(ray, server) for server in servers)
            reporter.publish({"state": state, "address": address or "local"})
            stop.wait(HEALTH_PERIOD_S)
        for server in servers:
            ray.kill(server, no_restart=True)
    finally:
        ray.shutdown()


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
