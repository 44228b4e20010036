"""Who starts the planner's host and starts it again when it dies: Ray, or this machine's own subprocesses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

from dualsys.bridge.child import Child
from dualsys.bridge.planner_server import PLANNER_LOG
from dualsys.bridge.system import SystemConfig

LauncherName = Literal["ray", "subprocess"]


@final
class Launcher:
    """Keeps one planner's host running.

    Args:
        children: What runs it; those after the first are standbys.
        stop_within_s: Time they have to end by themselves.
    """

    def __init__(self, children: Sequence[Child], *, stop_within_s: float) -> None:
        self._children = children
        self._stop_within_s = stop_within_s

    def start(self) -> None:
        """Begin; returns at once."""
        for child in self._children:
            child.start()

    def watch(self) -> str | None:
        """Start again what has died; what happened, if something did. Called often."""
        return "; ".join(filter(None, [child.watch() for child in self._children])) or None

    @property
    def failure(self) -> str | None:
        """What one said that could not be set up."""
        return next((child.tail() for child in self._children if child.failed_for_good), None)

    @property
    def given_up(self) -> bool:
        """Whether there will never be a planner again."""
        return all(child.given_up for child in self._children)

    @property
    def restarts(self) -> int:
        """How often one was started again."""
        return sum(child.restarts for child in self._children)

    def ask_to_stop(self) -> None:
        """Send SIGTERM: Ray's driver ends the planner and the local cluster. Returns at once."""
        for child in self._children:
            child.ask_to_stop()

    def stop(self) -> None:
        """End them; returns when no process is left."""
        for child in self._children:
            child.stop(within_s=self._stop_within_s)


def make_launcher(name: LauncherName, config: SystemConfig, *, ray_address: str | None = None) -> Launcher:
    """A launcher for a run.

    Args:
        name: `ray`: the host is a Ray actor, from a driver process of its own. `subprocess`: for tests, and for boards
            without Ray.
        config: The run.
        ray_address: A cluster to join; None: a local one, for this run.
    """
    file = str(config.folder / "config.json")
    if name == "subprocess":
        log, count = config.folder / PLANNER_LOG, 1 + config.planner_standbys
        hosts = [_child("planner_host", [file], log, config) for _ in range(count)]
        return Launcher(hosts, stop_within_s=10.0)
    arguments = [file] if ray_address is None else [file, ray_address]
    # A driver that dies takes its local cluster along; a new one starts another.
    driver = _child("ray_driver", arguments, config.folder / "ray_driver.log", config)
    return Launcher([driver], stop_within_s=30.0)


def _child(module: str, arguments: list[str], log: Path, config: SystemConfig) -> Child:
    return Child(
        f"dualsys.bridge.{module}", arguments, log=log, restart=True, max_failed_starts=config.max_failed_starts
    )
