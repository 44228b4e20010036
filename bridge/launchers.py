"""Who starts the planner's host and starts it again when it dies: Ray, or this machine's own subprocesses."""

from pathlib import Path
from typing import Literal, Protocol, final

from dualsys.bridge.child import Child
from dualsys.bridge.planner_server import PLANNER_LOG

LauncherName = Literal["ray", "subprocess"]


class Launcher(Protocol):
    """Keeps one planner's host running."""

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def watch(self) -> None:
        """Look after it. Called often."""
        ...

    @property
    def failure(self) -> str | None:
        """Why there will never be a planner, or None."""
        ...

    def ask_to_stop(self) -> None:
        """Begin to end; returns at once."""
        ...

    def stop(self) -> None:
        """End it; returns when no process is left."""
        ...


@final
class SubprocessLauncher:
    """Runs the host as a subprocess: for tests, and for boards without Ray.

    Args:
        config: The run's configuration file.
        logs: Folder for its output.
        standbys: Further hosts that wait for the one that plans to die.
    """

    def __init__(self, config: Path, logs: Path, *, standbys: int = 0) -> None:
        self._children = [
            Child("dualsys.bridge.planner_host", [str(config)], log=logs / PLANNER_LOG, restart=True)
            for _ in range(1 + standbys)
        ]

    def start(self) -> None:
        """Start the hosts."""
        for child in self._children:
            child.start()

    def watch(self) -> None:
        """Start again what has died."""
        for child in self._children:
            child.watch()

    @property
    def failure(self) -> str | None:
        """What one said that could not be set up."""
        return next((child.tail() for child in self._children if child.failed_for_good), None)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        for child in self._children:
            child.ask_to_stop()

    def stop(self) -> None:
        """End them."""
        for child in self._children:
            child.stop(within_s=10.0)


@final
class RayLauncher:
    """Runs the host as a Ray actor, from a driver process of its own.

    Args:
        config: The run's configuration file.
        logs: Folder for the driver's output.
        address: A cluster to join; None: a local one, for this run.
    """

    def __init__(self, config: Path, logs: Path, *, address: str | None = None) -> None:
        arguments = [str(config)] if address is None else [str(config), address]
        # A driver that dies takes its local cluster along; a new one starts another.
        self._child = Child("dualsys.bridge.ray_driver", arguments, log=logs / "ray_driver.log", restart=True)

    def start(self) -> None:
        """Start the driver."""
        self._child.start()

    def watch(self) -> None:
        """Start the driver again when it has died."""
        self._child.watch()

    @property
    def failure(self) -> str | None:
        """What it said when Ray or the planner could not be set up."""
        return self._child.tail() if self._child.failed_for_good else None

    def ask_to_stop(self) -> None:
        """Send SIGTERM: the driver ends the planner and the local cluster."""
        self._child.ask_to_stop()

    def stop(self) -> None:
        """End it."""
        self._child.stop(within_s=30.0)
