"""Calls to the Ray actor of a mailbox, and the threads that make them."""

import logging
import threading
from collections.abc import Callable
from typing import Any, final

from dualsys.errors import BridgeError

NAMESPACE = "dualsys"
"""Of Ray, in which the actors of boxes are named."""
ANSWER_WITHIN_S = 2.0
"""After which a call counts as failed."""

_RETRY_S = 0.1
_LOGGER = logging.getLogger(__name__)


class Unreachable(Exception):
    """The actor didn't answer."""


def actor_name(box: str) -> str:
    """Of the actor of a box."""
    return f"mailbox.{box}"


def connected_ray() -> Any:
    """The module `ray`. Raises `BridgeError` where this process isn't connected to a cluster."""
    import ray

    if not ray.is_initialized():
        raise BridgeError("a Ray box needs Ray: connect this process first (ray_cluster.start_ray, or ray.init)")
    return ray


@final
class BoxLine:
    """Calls to a box's actor, found by its name, and found again should another have taken its place."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ray = connected_ray()
        self._server: Any = None

    def call(self, method: str, *arguments: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        """Answer of the actor. Raises `Unreachable`."""
        # Asked without a connection, Ray would start a cluster of its own.
        if not self._ray.is_initialized():
            raise Unreachable(f"Ray box {self.name!r}: this process has left Ray")
        try:
            if self._server is None:
                self._server = self._ray.get_actor(actor_name(self.name), namespace=NAMESPACE)
            return self._ray.get(getattr(self._server, method).remote(*arguments), timeout=within_s)
        except ValueError as error:
            raise Unreachable(f"there is no Ray box {self.name!r}: make one with RayBox") from error
        except SystemExit as error:
            # What Ray raises in a thread that waits while another shuts it down; it would end the thread.
            raise Unreachable(f"Ray box {self.name!r}: this process is leaving Ray") from error
        except self._ray.exceptions.RayError as error:
            self._server = None
            raise Unreachable(f"Ray box {self.name!r}: {type(error).__name__}") from error


@final
class Repeater:
    """A thread that does one thing again and again; says when the actor doesn't answer, and when it does again.

    Args:
        name: Of the box.
        step: Called without a pause; what it raises as `Unreachable` is counted, told once, and tried again.
    """

    def __init__(self, name: str, step: Callable[[], None]) -> None:
        self._name = name
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ray-box-{name}", daemon=True)
        self.failures = 0
        """Calls without an answer."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within_s: float | None) -> None:
        """End it, and wait for that; None: don't wait, which is what the thread itself does."""
        self._stop.set()
        if within_s is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        failing = False
        while not self._stop.is_set():
            try:
                self._step()
            except Unreachable as error:
                self.failures += 1
                if not failing:
                    _LOGGER.warning("%s; the value before stands", error)
                failing = True
                self._stop.wait(_RETRY_S)
            else:
                if failing:
                    _LOGGER.warning("Ray box %r answers again", self._name)
                failing = False
