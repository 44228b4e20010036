"""Calls to a planner's server: one of the cluster's, found by its name, or one of one's own."""

from time import monotonic
from typing import Any, Protocol, final

from dualsys.bridge.box_line import ANSWER_WITHIN_S, NAMESPACE, Unreachable
from dualsys.bridge.fleet_server import SERVER_OPTIONS, FleetConfig, FleetServer
from dualsys.bridge.ray_cluster import first_words
from dualsys.errors import BridgeError
from dualsys.restarts import RestartBudget
from dualsys.settings import RestartConfig

_HEALTHY_S = 20.0
"""A server that lived this long has all its restarts again."""


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

    def lost(self, reason: str) -> None:
        """The server behind the handle has died."""
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

    def lost(self, reason: str) -> None:
        """Another of its name may come."""

    def watch(self, news: dict[str, Any]) -> None:
        """Whoever started it does."""

    def end(self) -> None:
        """It is not ours."""


@final
class OwnServer:
    """A server of one's own: made when it is asked for, made anew when it has died, while restarts are left.

    Args:
        ray: The module.
        config: What it serves.
        options: Ray's, beside `SERVER_OPTIONS`: its place, its name.
        restart: How soon and how often it is made anew.
        hangs_after_s: At one batch for longer than this it hangs, and is made anew.
    """

    def __init__(
        self, ray: Any, config: FleetConfig, options: dict[str, Any], *, restart: RestartConfig, hangs_after_s: float
    ) -> None:
        self._ray = ray
        self._config = config
        self._options = {**SERVER_OPTIONS, **options}
        self._budget = RestartBudget(restart)
        self._hangs_after_s = hangs_after_s
        self._made_s = 0.0
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
        if self._server is not None:
            return self._server
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
        return server

    def lost(self, reason: str) -> None:
        """Make another, soon, while restarts are left."""
        if self._server is None:
            return
        self.end()
        delay_s = self._budget.delay_s(monotonic())
        if delay_s is None:
            self._given_up = f"{reason}; {self._budget.exhausted()}"
        else:
            self._made_anew_at_s = monotonic() + delay_s

    def watch(self, news: dict[str, Any]) -> None:
        """End it where it hangs, or plans no more; one that has served for a while has all its restarts again."""
        if news.get("ended"):
            self.lost(f"it plans no more: {news['ended']}")
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
    """Calls to a server, each with an end. A death is told to the source; a cut leaves the handle as it is.

    Args:
        ray: The module.
        source: Where the handle comes from.
    """

    def __init__(self, ray: Any, source: ServerSource) -> None:
        self._ray = ray
        self._source = source
        self._server: Any = None

    def watch(self, news: dict[str, Any]) -> None:
        """Hand on what the server tells of itself."""
        self._source.watch(news)

    def call(self, method: str, *arguments: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        """What the server answers. Raises `Unreachable`, `ServerDied`, and what the source's `get` raises."""
        # Asked without a connection, Ray would start a cluster of its own.
        if not self._ray.is_initialized():
            raise Unreachable("this process has left Ray")
        server = self._server = self._server or self._source.get()
        errors = self._ray.exceptions
        try:
            return self._ray.get(getattr(server, method).remote(*arguments), timeout=within_s)
        except errors.GetTimeoutError as error:
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
            raise Unreachable(f"the planner's server: {first_words(error)}") from error
