"""Ray's process: `python -m dualsys.bridge.ray_driver CONFIG.json [ADDRESS]`.

A driver of its own, so that neither the tick nor the actor nor the supervisor depends on Ray's life: when Ray's head
dies, its drivers and workers exit a minute later. It starts a local cluster or joins the one at ADDRESS, places on this
node the hosts that the supervisor wants, tells what becomes of them, and takes everything down at the end.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any, final

from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.planner_server import ACTOR_OPTIONS, PlannerServer
from dualsys.bridge.process_life import run_process
from dualsys.bridge.ray_cluster import first_words, start_ray, takes_connections
from dualsys.bridge.reporter import Reporter, Status
from dualsys.bridge.system import SystemConfig
from dualsys.clock import MonotonicClock

_LOGGER = logging.getLogger(__name__)

HEAD_IS_DEAD = 4
"""Exit status of a driver whose cluster has lost its head."""

_POLL_S = 0.05
_HEAD_PERIOD_S = 1.0
_CONNECT_WITHIN_S = 1.0


def drive(config: SystemConfig, stop: threading.Event, address: str | None = None) -> None:
    """Keep what is wanted running until told to stop."""
    boxes = SharedBoxes(config.folder)
    reporter = Reporter(boxes.writer(status_box("launcher")), MonotonicClock())
    supervisor = boxes.reader(status_box("supervisor"))
    ray = start_ray(address, num_cpus=1, without="--launcher subprocess")
    try:
        head = RayHead(ray.get_runtime_context().gcs_address, gone_after_s=config.ray_head_gone_after_s)
        hosts = [RayHost(ray, config, index) for index in range(1 + config.planner_standbys)]
        said: Status = {}
        while not stop.is_set():
            orders = (supervisor.read() or {}).get("orders", {})
            for host, order in zip(hosts, orders.get("hosts", []), strict=False):
                # The orders to a driver that died are none to this one.
                host.look(order if orders["driver"] == os.getpid() else None)
            news = {"hosts": [host.report() for host in hosts], "address": address or "local", "head": head.address}
            if news != said:
                reporter.publish(said := news)
            if head.is_dead():
                _leave(head)
            stop.wait(_POLL_S)
        for host in hosts:
            host.end()
    finally:
        ray.shutdown()


def _leave(head: "RayHead") -> None:
    """Exit at once: without its head nothing of Ray can be shut down in order. The supervisor ends what is left."""
    sys.stderr.write(f"Ray's head at {head.address} has died: no answer for {head.gone_after_s:g} s\n")
    sys.stderr.flush()
    os._exit(HEAD_IS_DEAD)


@final
class RayHead:
    """Whether the head of the cluster still answers: Ray itself says so only after a minute, by ending this process.

    Args:
        address: `host:port` of its control service.
        gone_after_s: Time without an answer after which it is dead.
    """

    def __init__(self, address: str, *, gone_after_s: float) -> None:
        self.address = address
        self.gone_after_s = gone_after_s
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._answered_s = monotonic()
        self._next_s = 0.0

    def is_dead(self) -> bool:
        """Ask now and then; whether it has not answered for too long."""
        if monotonic() >= self._next_s:
            if takes_connections(self._place, _CONNECT_WITHIN_S):
                self._answered_s = monotonic()
            self._next_s = monotonic() + min(_HEAD_PERIOD_S, self.gone_after_s / 2)
        return monotonic() - self._answered_s > self.gone_after_s


@final
class RayHost:
    """One host, as Ray has it.

    Args:
        ray: The module.
        config: The run.
        index: Which host.
    """

    def __init__(self, ray: Any, config: SystemConfig, index: int) -> None:
        self._ray = ray
        self._config = config
        self._index = index
        self._server: Any = None
        self._pid_call: Any = None
        self._served: Any = None
        self._start = 0
        self._pid: int | None = None
        self._ended: str | None = None
        self._set_up = True

    def look(self, order: dict[str, Any] | None) -> None:
        """Do what is wanted, and see what has become of what was."""
        if order is None:
            return
        if order["wanted"] and order["start"] > self._start:
            self.end()
            self._place(order["start"])
        elif not order["wanted"]:
            self.end()
        if self._pid_call is not None and self._is_done(self._pid_call):
            self._pid, self._pid_call = self._result(self._pid_call), None
        if self._served is not None and self._is_done(self._served):
            self._take_end()

    def _place(self, start: int) -> None:
        """Have Ray start it on this node: it writes into this node's memory."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        server_class = self._ray.remote(PlannerServer).options(**ACTOR_OPTIONS, scheduling_strategy=here)
        self._server = server_class.remote(str(self._config.folder / "config.json"), self._index)
        self._pid_call, self._served = self._server.pid.remote(), self._server.serve.remote()
        self._start, self._pid, self._ended, self._set_up = start, None, None, True

    def _is_done(self, call: Any) -> bool:
        done, _ = self._ray.wait([call], timeout=0)
        return bool(done)

    def _result(self, call: Any) -> Any:
        """What a call gave, None where its actor died: that is told by `serve`."""
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            _LOGGER.info("a call of host %d gave nothing: %s", self._index, error)
            return None

    def _take_end(self) -> None:
        try:
            reason, self._set_up = self._ray.get(self._served)
        except self._ray.exceptions.RayError as error:
            reason = f"its Ray actor has ended: {first_words(error)}"
        self._ended = reason
        self.end()

    def end(self) -> None:
        """Have Ray end it, if there is one."""
        if self._server is not None:
            self._ray.kill(self._server, no_restart=True)
        self._server = self._pid_call = self._served = None

    def report(self) -> dict[str, Any]:
        """For the supervisor."""
        return {"start": self._start, "pid": self._pid, "ended": self._ended, "set_up": self._set_up}


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
