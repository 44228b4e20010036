"""The relay's process: `python -m dualsys.bridge.relay_process CONFIG.json`. It imports ray, and never torch.

The supervisor keeps it as it keeps a planner on this node. What it relays to is a planner's server of the cluster
(`dualsys serve`), or one of the run's own on another node, which it starts, watches and ends.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, final

from dualsys.bridge.assembly import make_senses
from dualsys.bridge.box_file import LAYOUT_VERSION
from dualsys.bridge.boxes import SharedBoxes, status_box, subgoal_box
from dualsys.bridge.fleet_server import FleetConfig
from dualsys.bridge.frames import WIRE_VERSION
from dualsys.bridge.handshake import Hello, say_hello
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.parts import planner_digest
from dualsys.bridge.placement import placement
from dualsys.bridge.process_life import SUPERVISOR_VARIABLE, run_process
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.relay import Relay
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.server_line import NamedServer, OwnServer, ServerLine, ServerSource
from dualsys.bridge.system import PlannerPlace, SystemConfig
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError
from dualsys.messages import LatentSubgoal
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_NAMED_WITHIN_S = 15.0
"""How long a run waits at its start for a server that others start."""
_RETRY_S = 1.0


def relay(config: SystemConfig, stop: threading.Event) -> None:
    """Relay until told to stop. Raises `BridgeError` where there is no planner to be had."""
    place = config.planner_place
    if place is None:
        raise BridgeError("this run's planner is on this node: there is nothing to relay")
    boxes = SharedBoxes(config.folder)
    is_first = boxes.reader(subgoal_box(config)).epoch == 0
    clock = MonotonicClock()
    reporter = Reporter(boxes.writer(status_box("planner"), wait=stop), clock)
    start = boxes.reader(status_box("planner")).epoch
    with _joined_ray(place.ray_address, stop, patient=not is_first) as ray:
        if ray is None:
            return
        source = _source(ray, config, place)
        turn = _Turn(config, boxes, stop)
        log = None if config.log_folder is None else config.log_folder / f"planner.{start}.jsonl"
        try:
            with nullcontext() if log is None else RunLog(log, buffered_lines=1) as noted:
                Relay(
                    ServerLine(ray, source),
                    _application(config, place),
                    senses=make_senses(config, boxes),
                    adopt=turn.adopt,
                    reporter=reporter,
                    clock=clock,
                    hz=config.planner_hz,
                    spec=config.subgoal,
                    check=turn.check,
                    joins_within_s=_NAMED_WITHIN_S if place.server and is_first else float("inf"),
                    log=noted,
                ).run(stop)
        except BridgeError:
            if not stop.is_set():
                raise
        finally:
            source.end()


def _source(ray: Any, config: SystemConfig, place: PlannerPlace) -> ServerSource:
    if place.server:
        return NamedServer(ray, place.server)
    served = FleetConfig(planner=config.planner, embodiment=config.embodiment, max_batch=1, max_robots=1)
    life = config.planner_life
    return OwnServer(
        ray,
        served,
        placement(place.node),
        restart=life.restart,
        hangs_after_s=life.hangs_after_s,
        starts_within_s=life.starts_within_s,
    )


def _application(config: SystemConfig, place: PlannerPlace) -> dict[str, Any]:
    host, run = socket.gethostname(), config.folder.name
    return {
        "robot": place.robot or f"{host}.{run}",
        "key": f"{host}.{run}.{os.environ.get(SUPERVISOR_VARIABLE, os.getpid())}",
        "wire": WIRE_VERSION,
        "embodiment": config.embodiment.model_dump(mode="json"),
    }


@final
class _Turn:
    """What comes before a relay may write: the server's hello, the supervisor's welcome, the box.

    Args:
        config: The run.
        boxes: Its boxes.
        stop: Ends all waiting.
    """

    def __init__(self, config: SystemConfig, boxes: SharedBoxes, stop: threading.Event) -> None:
        self._config = config
        self._boxes = boxes
        self._stop = stop
        part = config.planner
        self._digest = None if part.checkpoint is None else planner_digest(part)
        self._hello: Hello | None = None
        self._is_welcome = False

    def check(self, hello: Hello) -> str:
        """Why the server's planner must not be used."""
        self._hello = replace(hello, mailbox=LAYOUT_VERSION)  # Its boxes are on its own node, if it has any.
        problem = self._hello.problem(self._config.subgoal, self._digest) or ""
        if not problem:
            self._digest = hello.digest
        return problem

    def adopt(self) -> Mailbox[LatentSubgoal]:
        """The box, once it is free. Raises `BridgeError` when told to stop while waiting."""
        assert self._hello is not None
        if not self._is_welcome:
            say_hello(self._config.folder, self._hello, self._stop)
            self._is_welcome = True
        return self._boxes.writer(subgoal_box(self._config), wait=self._stop)


@contextmanager
def _joined_ray(address: str, stop: threading.Event, *, patient: bool) -> Iterator[Any]:
    """The module `ray`, connected; None when told to stop. Raises `BridgeError` where it can't be, unless patient."""
    ray = None
    while ray is None and not stop.is_set():
        try:
            ray = start_ray(address, num_cpus=1, without="a planner on this node")
        except BridgeError as error:
            if not patient:
                raise
            _LOGGER.warning("%s; trying on", error)
            stop.wait(_RETRY_S)
    try:
        yield ray
    finally:
        if ray is not None:
            ray.shutdown()


if __name__ == "__main__":
    sys.exit(run_process(relay, death_signal=signal.SIGTERM))
