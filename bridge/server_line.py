"""Calls to a planner's server: one of the cluster's, found by its name, or one of one's own."""

import logging
import math
import threading
from time import monotonic
from typing import Any, Protocol, final

from dualsys.bridge.box_line import ANSWER_WITHIN_S, NAMESPACE, Unreachable
from dualsys.bridge.fleet_server import SERVER_OPTIONS, FleetConfig, FleetServer
from dualsys.bridge.ray_cluster import first_words, node_address, takes_connections
from dualsys.errors import BridgeError
from dualsys.restarts import RestartBudget
from dualsys.settings import RestartConfig

_LOGGER = logging.getLogger(__name__)

_HEALTHY_S = 20.0
"""A server that lived this long has all its restarts again."""
_CONNECTS_WITHIN_S = 1.0
_LONGEST_STEP_S = 5.0
"""Between two calls that fail: more, and it was the caller that stood still."""
_HEALS_WITHIN_S = 20.0
"""After a cut of the link Ray's calls need so long to come through again, as measured with room to spare."""


def server_actor_name(server: str) -> str:
    """Of the Ray actor of a planner's server."""
    return f"planner.{server}"


class ServerDied(Unreachable):
    """The server behind a handle has died; the next call goes to another."""


class ServerSource(Protocol):
    """Where a server's handle comes from."""

    def get(self) -> Any:
        """The handle. Raises `Unreachable` while there is none, `BridgeError` where there will be none."""
        ...

    def hangs(self, quiet_s: float) -> bool:
        """Whether it is the server that hangs, and not the link that is cut, when it gave no answer for so long."""
        ...

    def lost(self, reason: str) -> None:
        """The server behind the handle has died, or hangs."""
        ...

    def watch(self, news: dict[str, Any]) -> None:
        """Take in what the server tells of itself."""
        ...

    def end(self) -> None:
        """Nobody will ask any more."""
        ...


@final
class NamedServer:
    """A server that somebody else started: `dualsys serve --name NAME`.

    Args:
        ray: The module.
        name: Of the server.
    """

    def __init__(self, ray: Any, name: str) -> None:
        self._ray = ray
        self._name = name

    def get(self) -> Any:
        """Look it up."""
        try:
            return self._ray.get_actor(server_actor_name(self._name), namespace=NAMESPACE)
        except ValueError as error:
            raise Unreachable(
                f"the cluster has no planner's server {self._name!r}: start one with dualsys serve --name {self._name}"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise Unreachable(f"planner's server {self._name!r}: {type(error).__name__}") from error

    def hangs(self, quiet_s: float) -> bool:
        """Whoever started it finds out."""
        del quiet_s
        return False

    def lost(self, reason: str) -> None:
        """Another of its name may come."""

    def watch(self, news: dict[str, Any]) -> None:
        """Whoever started it does."""

    def end(self) -> None:
        """It is not ours."""


@final
class OwnServer:
    """A server of one's own: made when it is asked for, made anew when it has died or hangs, while restarts are left.

    A server that computes for too long says so itself (`watch`); one that was stopped, or whose interpreter is blocked,
    answers nobody (`hangs`). Nor does one behind a cut link, which must not be followed by a second: it hangs only
    while its node's daemon takes connections.

    Args:
        ray: The module.
        config: What it serves.
        options: Ray's, beside `SERVER_OPTIONS`: its place, its name.
        restart: How soon and how often it is made anew.
        hangs_after_s: At one batch, or without an answer, for longer than this it hangs, and is made anew.
        starts_within_s: The same while it loads.
    """

    def __init__(
        self,
        ray: Any,
        config: FleetConfig,
        options: dict[str, Any],
        *,
        restart: RestartConfig,
        hangs_after_s: float,
        starts_within_s: float = 300.0,
    ) -> None:
        self._ray = ray
        self._config = config
        self._options = {**SERVER_OPTIONS, **options}
        self._budget = RestartBudget(restart)
        self._hangs_after_s, self._starts_within_s = hangs_after_s, starts_within_s
        self._lock = threading.RLock()
        """A relay calls from several threads."""
        self._made_s = 0.0
        self._loads = True
        self._node = ""
        self._address: tuple[str, int] | None = None
        """Of the daemon of the server's node, once the server has told where it is."""
        self._cut_s = -math.inf
        """When that was last found out of reach."""
        self._server: Any = None
        self._made_anew_at_s: float | None = None
        self._given_up = ""
        self.restarts = 0
        """Times it was made anew."""

    def get(self) -> Any:
        """The one there is, or a new one, which may wait for its node.

        Raises:
            Unreachable: it is made anew soon.
            BridgeError: its name is taken, or no restart is left.
        """
        with self._lock:
            return self._server or self._make()

    def _make(self) -> Any:
        if self._given_up:
            raise BridgeError(f"the planner's server is given up: {self._given_up}")
        if self._made_anew_at_s is not None:
            if monotonic() < self._made_anew_at_s:
                raise Unreachable("the planner's server has died and is made anew soon")
            self._budget.spend(monotonic())
            self.restarts += 1
        try:
            server = self._ray.remote(FleetServer).options(**self._options).remote(self._config.model_dump_json())
        except ValueError as error:
            raise BridgeError(f"a planner's server of that name exists in this cluster: {error}") from error
        server.serve.remote()
        self._server, self._made_s = server, monotonic()
        self._loads, self._node, self._address, self._cut_s = True, "", None, -math.inf
        return server

    def hangs(self, quiet_s: float) -> bool:
        """Whether it gave no answer for too long, its node being within reach all that time.

        One that never told where it is may wait for its node: Ray tells when it can't be placed.
        """
        address, now_s = self._address, monotonic()
        if self._server is None or address is None:
            return False
        if not takes_connections(address, _CONNECTS_WITHIN_S):
            self._cut_s = now_s
            return False
        limit_s = self._starts_within_s if self._loads else self._hangs_after_s
        return min(quiet_s, now_s - self._cut_s - _HEALS_WITHIN_S) > limit_s

    def lost(self, reason: str) -> None:
        """Make another, soon, while restarts are left."""
        with self._lock:
            if self._server is None:
                return
            self.end()
            delay_s = self._budget.delay_s(monotonic())
            if delay_s is None:
                self._given_up = f"{reason}; {self._budget.exhausted()}"
            else:
                self._made_anew_at_s = monotonic() + delay_s
        _LOGGER.warning("the planner's server is ended: %s", reason)

    def watch(self, news: dict[str, Any]) -> None:
        """End it where it hangs, or plans no more; one that has served for a while has all its restarts again."""
        loading_s = news.get("loading_s")
        self._loads = loading_s is not None
        if (node := news.get("node", self._node)) != self._node:
            self._node, self._address = node, node_address(self._ray, node)
        if news.get("ended"):
            self.lost(f"it plans no more: {news['ended']}")
        elif loading_s is not None and loading_s > self._starts_within_s:
            self.lost(f"it has been loading for {loading_s:.1f} s")
        elif news.get("busy_s", 0.0) > self._hangs_after_s:
            self.lost(f"it was at one batch for {news['busy_s']:.1f} s")
        elif news.get("batches") and monotonic() - self._made_s > _HEALTHY_S:
            self._budget.refill()

    def end(self) -> None:
        """End it, if there is one."""
        if self._server is not None:
            self._ray.kill(self._server, no_restart=True)
        self._server = None


@final
class ServerLine:
    """Calls to a server, each with an end. A death or a hang is told to the source; a cut leaves the handle as it is.

    Args:
        ray: The module.
        source: Where the handle comes from.
    """

    def __init__(self, ray: Any, source: ServerSource) -> None:
        self._ray = ray
        self._source = source
        self._server: Any = None
        self._quiet_s = 0.0
        """For how long calls have had no answer; a pause of this process is no silence of the server."""
        self._looked_s = 0.0

    def watch(self, news: dict[str, Any]) -> None:
        """Hand on what the server tells of itself."""
        self._source.watch(news)

    def call(self, method: str, *arguments: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        """What the server answers. Raises `Unreachable`, `ServerDied`, and what the source's `get` raises."""
        # Asked without a connection, Ray would start a cluster of its own.
        if not self._ray.is_initialized():
            raise Unreachable("this process has left Ray")
        if self._server is None:
            self._server = self._source.get()
            self._note_answer()
        server, errors = self._server, self._ray.exceptions
        try:
            answer = self._ray.get(getattr(server, method).remote(*arguments), timeout=within_s)
        except errors.GetTimeoutError as error:
            self._look_for_a_hang(server)
            raise Unreachable(f"the planner's server gave no answer within {within_s:g} s") from error
        except (errors.ActorDiedError, errors.ActorUnschedulableError) as error:
            reason = first_words(error)
            if server is self._server:  # another thread may have been first
                self._server = None
                self._source.lost(reason)
            raise ServerDied(f"the planner's server has died: {reason}") from error
        except SystemExit as error:
            # What Ray raises in a thread that waits while another shuts it down; it would end the thread.
            raise Unreachable("this process is leaving Ray") from error
        except errors.RayError as error:
            self._look_for_a_hang(server)
            raise Unreachable(f"the planner's server: {first_words(error)}") from error
        self._note_answer()
        return answer

    def _note_answer(self) -> None:
        self._quiet_s, self._looked_s = 0.0, monotonic()

    def _look_for_a_hang(self, server: Any) -> None:
        """Tell the source, which ends it; the next call finds out that it has died."""
        now_s = monotonic()
        self._quiet_s += min(now_s - self._looked_s, _LONGEST_STEP_S)
        self._looked_s = now_s
        if server is self._server and self._source.hangs(self._quiet_s):
            self._source.lost(f"it gave no answer for {self._quiet_s:.1f} s, and its node did")
