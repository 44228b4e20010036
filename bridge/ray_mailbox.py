"""Mailboxes in a Ray actor: for readers on other nodes, and for any process of a cluster.

    with RayBox("subgoal", capacity=2**20):                        # whoever starts the others
        outbox = ray_writer("subgoal", SubgoalCodec())             # in the planner's process
        inbox = ray_reader("subgoal", SubgoalCodec())              # in a process on the robot's node

The same `Mailbox`, the same stamps and epochs: newest wins, and neither a read nor a write ever waits. Behind the
reader a thread asks the actor for what is newer and keeps it in this process; behind the writer one sends the newest
value, and drops those that were overtaken. A value comes a few milliseconds later than through shared memory, where
both are on one node: use that there. What moves a motor must not be a process of Ray: let a process of its own read,
and write into shared memory.

`written_stamp_s` is on the clock of the writer's node; only differences of one node's stamps mean anything.
"""

import os
from types import TracebackType
from typing import Any, Self, TypeVar, final

from dualsys.bridge.box_file import Pause
from dualsys.bridge.box_line import NAMESPACE, BoxLine, Unreachable, actor_name, connected_ray
from dualsys.bridge.box_server import BoxServer
from dualsys.bridge.latest_value import Codec, Mailbox
from dualsys.bridge.ray_slots import RayReader, RayWriter
from dualsys.errors import BridgeError

T = TypeVar("T")

_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,  # With a CPU asked for, a busy node would leave it pending for ever, without a word.
    "max_restarts": -1,
    "max_task_retries": 0,  # What was under way at a death is old by now.
    "max_concurrency": 1000,  # A call of every reader waits in it.
}
_START_WITHIN_S = 60.0
_ADOPT_POLL_S = 0.1


@final
class RayBox:
    """The box's actor, on this node; a context manager that ends it. It ends with this process's Ray job, too.

    Args:
        name: Of the box; unique in the cluster.
        capacity: Bytes of the largest value.

    Raises:
        BridgeError: where this process isn't connected to Ray, or the name is taken.
    """

    def __init__(self, name: str, *, capacity: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = connected_ray()
        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        options = {"name": actor_name(name), "namespace": NAMESPACE, "scheduling_strategy": here, **_OPTIONS}
        try:
            self._server = self._ray.remote(BoxServer).options(**options).remote(capacity)
        except ValueError as error:
            raise BridgeError(f"Ray box {name!r} exists: use it, or another name") from error
        try:
            self._ray.get(self._server.newer_than.remote(0, None, 0.0), timeout=_START_WITHIN_S)
        except self._ray.exceptions.RayError as error:
            raise BridgeError(f"Ray box {name!r} did not start within {_START_WITHIN_S:g} s: {error}") from error

    def __enter__(self) -> Self:
        """The box itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """End the actor; idempotent."""
        if self._ray.is_initialized():
            self._ray.kill(self._server, no_restart=True)


def ray_writer(name: str, codec: Codec[T], *, wait: Pause | None = None) -> Mailbox[T]:
    """Adopt a Ray box as its only writer: the epoch goes up by one.

    Args:
        name: Of the box.
        codec: What it holds.
        wait: While the box has a living writer, wait for its end, or for this event. A writer counts as living until
            `box_server.LEASE_S` after it was last heard of, or until it closes the box.

    Raises:
        BridgeError: where there is no such box, this process isn't connected to Ray, or the writer is alive.
    """
    line = BoxLine(name)
    while True:
        try:
            letter = line.call("adopt", os.getpid())
        except Unreachable as error:
            raise BridgeError(str(error)) from error
        if letter.granted:
            return Mailbox(slots=RayWriter(line, letter), codec=codec)
        if wait is None or wait.wait(_ADOPT_POLL_S):
            raise BridgeError(f"Ray box {name!r}: its writer (process {letter.writer}) is alive; a box has one writer")


def ray_reader(name: str, codec: Codec[T]) -> Mailbox[T]:
    """Read a Ray box. Raises `BridgeError` where there is none, or this process isn't connected to Ray."""
    line = BoxLine(name)
    try:
        letter = line.call("newer_than", 0, None, 0.0)
    except Unreachable as error:
        raise BridgeError(str(error)) from error
    return Mailbox(slots=RayReader(line, letter), codec=codec)
