"""A controller behind openpi's websocket protocol, for its stock client.

    client connects                -> metadata
    observation (msgpack, arrays)  -> {"actions": (rows, nu), "server_timing": {...}, "policy_timing": {...}}
    GET /healthz                   -> 200
    what can't be answered         -> text that says why, and the connection ends, as openpi's server does it

A connection is an episode's, or several's: a client that knows us says when one begins (`dualsys: {seed, stamp_s}` in
an observation); any other's begins with the connection. Each connection has models of its own, up to `max_clients`;
they think in a thread, so that the others, and pings, are answered meanwhile.
"""

import asyncio
import http
import logging
from collections.abc import Callable, Mapping
from time import monotonic, perf_counter
from typing import Any, final

from dualsys.actor.outside.array_packing import pack, unpack
from dualsys.actor.outside.extras import import_websockets
from dualsys.actor.outside.frame import MAX_BYTES
from dualsys.actor.outside.keys import PolicyKeys
from dualsys.actor.outside.openpi_actor import OWN
from dualsys.actor.outside.translation import Translation
from dualsys.app.serving.served_policy import BuildPolicy, ServedPolicy, whole_seed
from dualsys.errors import DualsysError, InvalidObservation

_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_SEAT_WITHIN_S = 2.0
"""A client that has just hung up may still be leaving when the next one comes."""


@final
class OpenPIServer:
    """Answers until it is cancelled. The first policy is built at once.

    Args:
        build: Makes a policy; once for each client at a time.
        keys: Names that clients have for states, cameras and words.
        host: Interface to listen on.
        port: 0: any that is free.
        max_clients: Clients at a time; further ones are sent away.

    Raises `ConfigError` where the keys leave out a state or a camera.
    """

    def __init__(self, build: BuildPolicy, keys: PolicyKeys, *, host: str, port: int, max_clients: int = 1) -> None:
        self._websockets = import_websockets("asyncio.server")
        self._closed = import_websockets("exceptions").ConnectionClosed
        self._build, self._keys = build, keys
        self._host, self._port, self._max_clients = host, port, max_clients
        first = build()
        self._translation = Translation(keys, first.embodiment)
        self._translation.require_whole()
        self.metadata = {OWN: first.about, "keys": keys.model_dump(mode="json")}
        """What clients are told when they connect."""
        self._idle = [first]
        self._seats = asyncio.Semaphore(max_clients)
        self._began_s = monotonic()

    async def serve(self, on_ready: Callable[[int], None]) -> None:
        """Listen for ever. `on_ready` is told the port."""
        async with self._websockets.serve(
            self._handle,
            self._host,
            self._port,
            compression=None,
            max_size=MAX_BYTES,
            process_request=_health,
        ) as server:
            on_ready(int(next(iter(server.sockets)).getsockname()[1]))
            await server.serve_forever()

    async def _handle(self, connection: Any) -> None:
        try:
            await asyncio.wait_for(self._seats.acquire(), _SEAT_WITHIN_S)
        except TimeoutError:
            reason = f"as many clients as --max-clients {self._max_clients} allows are served already"
            await connection.send(reason)
            await connection.close(_TRY_AGAIN_LATER, reason)
            return
        try:
            policy = self._idle.pop() if self._idle else await asyncio.to_thread(self._build)
            try:
                await self._converse(connection, policy)
            finally:
                self._idle.append(policy)
        except self._closed:
            pass  # the client has gone
        finally:
            self._seats.release()

    async def _converse(self, connection: Any, policy: ServedPolicy) -> None:
        policy.begin()
        await connection.send(pack(self.metadata))
        async for frame in connection:
            began_s = perf_counter()
            try:
                answer = await asyncio.to_thread(self._answer, policy, frame)
            # Whatever a model raises: the client is told, and the next one is served.
            except Exception as error:
                if not isinstance(error, DualsysError):
                    logging.getLogger(__name__).exception("the policy failed")
                await connection.send(f"{type(error).__name__}: {error}")
                await connection.close(_INTERNAL_ERROR, "what is wrong stands in the frame before")
                return
            answer["server_timing"] = {"infer_ms": 1e3 * (perf_counter() - began_s)}
            await connection.send(pack(answer))

    def _answer(self, policy: ServedPolicy, frame: bytes | str) -> dict[str, Any]:
        if isinstance(frame, str):
            raise InvalidObservation("a frame of text came; an observation is packed with msgpack")
        message = unpack(frame)
        own = message.get(OWN) if isinstance(message, Mapping) else None
        own = own if isinstance(own, Mapping) else {}
        seed, stamp_s = own.get("seed"), own.get("stamp_s", monotonic() - self._began_s)
        observation = self._translation.inward(message, stamp_s=_number(stamp_s))
        if seed is not None:
            policy.begin(whole_seed(seed))
        chunk, timing = policy.infer(observation)
        return {self._keys.actions: chunk.rows, "policy_timing": timing}


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise InvalidObservation(f"{OWN}: stamp_s is {value!r}, expected seconds")
    return float(value)


def _health(connection: Any, request: Any) -> Any:
    """Answer `GET /healthz`; everything else shakes hands."""
    return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
