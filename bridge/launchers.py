"""Who runs the planner's hosts: this machine's own subprocesses, or Ray. `planner_keeper` says when one is started."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final

from dualsys.bridge.own_process import OwnProcess
from dualsys.bridge.planner_server import PLANNER_LOG
from dualsys.bridge.process_life import SETUP_FAILED
from dualsys.bridge.reporter import Status
from dualsys.bridge.system import SystemConfig

LauncherName = Literal["ray", "subprocess"]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a host ended."""

    reason: str
    set_up: bool = True
    """False: it said that it could not be set up; at the start of a run there is nothing to wait for."""


class PlannerHosts(Protocol):
    """Runs the hosts of a planner, each known by its index; those beyond the one that plans are standbys."""

    count: int

    def look(self) -> None:
        """Take in what has happened. Called several times a second, before the others are asked."""
        ...

    def start(self, index: int) -> None:
        """Start a host that doesn't run; returns at once. Raises `OSError` where the system can't."""
        ...

    def end(self, index: int) -> End | None:
        """How a host ended, None while it runs or is being started."""
        ...

    def pid(self, index: int) -> int | None:
        """Its process, None while it isn't known."""
        ...

    def kill(self, index: int) -> None:
        """End a host that runs, whatever it does. Returns at once."""
        ...

    def orders(self) -> Status:
        """What a process that acts for it has to know; empty where there is none."""
        ...

    def ask_to_stop(self) -> None:
        """Have all end. Returns at once."""
        ...

    def stop(self) -> None:
        """End them; returns when no process is left."""
        ...


@final
class SubprocessHosts:
    """Hosts as children of the supervisor.

    Args:
        config: The run.
        module: What each runs.
    """

    def __init__(self, config: SystemConfig, module: str = "dualsys.bridge.planner_host") -> None:
        self.count = 1 + config.planner_standbys
        arguments, log = [str(config.folder / "config.json")], config.folder / PLANNER_LOG
        logs = [log if index == 0 else log.with_stem(f"{log.stem}.standby{index}") for index in range(self.count)]
        self._processes = [OwnProcess(module, arguments, log=log) for log in logs]

    def look(self) -> None:
        """Keep their output short; all else the system tells."""
        for process in self._processes:
            process.keep_short()

    def start(self, index: int) -> None:
        """Start a process."""
        self._processes[index].start()

    def end(self, index: int) -> End | None:
        """Its exit status, in words."""
        process = self._processes[index]
        status = process.exit_status
        if status is None:
            return None
        process.clean_up()
        return End(reason=f"its process {_ended(status, process)}", set_up=status != SETUP_FAILED)

    def pid(self, index: int) -> int | None:
        """Its process."""
        return self._processes[index].pid

    def kill(self, index: int) -> None:
        """SIGKILL."""
        self._processes[index].kill()

    def orders(self) -> Status:
        """Nobody acts for it."""
        return {}

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        for process in self._processes:
            process.ask_to_stop()

    def stop(self) -> None:
        """End them."""
        for process in self._processes:
            process.stop(within_s=10.0)


@final
class RayHosts:
    """Hosts as Ray actors, placed by a driver in a process of its own (`ray_driver`), which dies when Ray's head does.

    The driver is told which start of each host is wanted, and tells what became of it. It is started with the first
    host that is wanted. When it dies, all its hosts have ended, and the next one that is wanted starts another driver.

    Args:
        config: The run.
        said: Reads the newest status of the driver.
        ray_address: A cluster to join; None: a local one, for this run.
    """

    def __init__(self, config: SystemConfig, said: Callable[[], Status], ray_address: str | None = None) -> None:
        self.count = 1 + config.planner_standbys
        arguments = [str(config.folder / "config.json")] + ([] if ray_address is None else [ray_address])
        self._driver = OwnProcess("dualsys.bridge.ray_driver", arguments, log=config.folder / "ray_driver.log")
        self._said = said
        self._starts = [0] * self.count
        self._wanted = [False] * self.count
        self._ends: list[End | None] = [None] * self.count
        self._reports: list[dict[str, Any]] = [{}] * self.count

    def look(self) -> None:
        """Take in what the driver says, or its death."""
        self._driver.keep_short()
        status = self._driver.exit_status
        if status is not None:
            end = End(reason=f"Ray's driver {_ended(status, self._driver)}", set_up=status != SETUP_FAILED)
            for index in range(self.count):
                self._leave(index, end)
            self._driver.clean_up()
            return
        said = self._said()
        for index, report in enumerate(said.get("hosts", []) if said.get("pid") == self._driver.pid else []):
            if report["start"] == self._starts[index] and self._wanted[index]:
                self._reports[index] = report
                if report["ended"] is not None:
                    self._leave(index, End(reason=report["ended"], set_up=report["set_up"]))

    def start(self, index: int) -> None:
        """Want a host, and the driver with it."""
        if self._driver.pid is None:
            self._driver.start()
        self._starts[index] += 1
        self._wanted[index], self._ends[index], self._reports[index] = True, None, {}

    def end(self, index: int) -> End | None:
        """What Ray or the driver's end has told."""
        return self._ends[index]

    def pid(self, index: int) -> int | None:
        """What the driver has told."""
        pid = self._reports[index].get("pid")
        return None if pid is None else int(pid)

    def kill(self, index: int) -> None:
        """SIGKILL where the process is known; the driver has Ray end it in any case."""
        self._leave(index, End(reason="was killed"))

    def _leave(self, index: int, end: End) -> None:
        """A host has ended, or will: not even one that outlives its driver may hold the planner's place."""
        if not self._wanted[index]:
            return
        pid = self.pid(index)
        if pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._wanted[index], self._ends[index], self._reports[index] = False, end, {}

    def orders(self) -> Status:
        """Which start of each host is wanted, and by which driver."""
        hosts = [{"start": start, "wanted": wanted} for start, wanted in zip(self._starts, self._wanted, strict=True)]
        return {"driver": self._driver.pid, "hosts": hosts}

    def ask_to_stop(self) -> None:
        """SIGTERM: the driver ends the hosts and the local cluster."""
        self._driver.ask_to_stop()

    def stop(self) -> None:
        """End them."""
        self._driver.stop(within_s=30.0)


def make_hosts(
    name: LauncherName, config: SystemConfig, said: Callable[[], Status], *, ray_address: str | None = None
) -> PlannerHosts:
    """The hosts of a run; relays where its planner is on another node, whatever the name.

    Args:
        name: `ray`: Ray actors, from a driver process of its own. `subprocess`: for tests, and for boards without Ray.
        config: The run.
        said: Reads the newest status of Ray's driver.
        ray_address: A cluster to join; None: a local one, for this run.
    """
    if config.planner_place is not None:
        return SubprocessHosts(config, "dualsys.bridge.relay_process")
    return SubprocessHosts(config) if name == "subprocess" else RayHosts(config, said, ray_address)


def _ended(status: int, process: OwnProcess) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    words = process.last_words()
    return f"ended with status {status}" + (f": {words}" if words else "")
