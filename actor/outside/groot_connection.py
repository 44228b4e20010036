"""Questions to a GR00T policy's server over ZMQ: one at a time, each with the name of an endpoint."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, final

from dualsys.actor.outside.extras import import_zmq
from dualsys.actor.outside.frame import MAX_BYTES
from dualsys.actor.outside.npy_packing import pack, unpack
from dualsys.errors import ConfigError, PolicyError

_FIRST_S = 10.0


@final
class GrootConnection:
    """A socket, made anew after a question that got no answer: ZMQ would wait for that one for ever.

    Args:
        address: `tcp://HOST:PORT`.
        timeout_s: Longest wait for an answer.

    Raises `PolicyError` where nobody answers a ping.
    """

    def __init__(self, address: str, *, timeout_s: float = 60.0) -> None:
        if not address.startswith("tcp://"):
            raise ConfigError(f"{address!r} is no address of a ZMQ server: give tcp://HOST:PORT")
        self.address, self._timeout_s = address, timeout_s
        self._zmq = import_zmq()
        self._context: Any = None
        self._socket: Any = None
        try:
            self.ask("ping", within_s=min(_FIRST_S, timeout_s))
        except PolicyError:
            self.close()
            raise

    def ask(self, endpoint: str, data: Mapping[str, Any] | None = None, *, within_s: float | None = None) -> Any:
        """An endpoint's answer. Raises `PolicyError`: none came, it is no answer, or it tells of an error."""
        within_s = self._timeout_s if within_s is None else within_s
        frame = pack({"endpoint": endpoint} if data is None else {"endpoint": endpoint, "data": data})
        try:
            answer = unpack(self._exchange(frame, within_s))
        except self._zmq.ZMQError as error:
            self._drop()
            said = f"no answer to {endpoint!r} within {within_s:g} s" if self._is_late(error) else str(error)
            raise PolicyError(
                f"the policy at {self.address}: {said}. Start its server (ours: dualsys policy serve --protocol "
                "groot), or mend the address"
            ) from error
        if isinstance(answer, Mapping) and "error" in answer:
            raise PolicyError(f"the policy at {self.address} failed: {answer['error']}")
        return answer

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._drop()
        if self._context is not None:
            self._context.term()
            self._context = None

    def _exchange(self, frame: bytes, within_s: float) -> bytes:
        if self._socket is None:
            self._context = self._context or self._zmq.Context()
            self._socket = self._context.socket(self._zmq.REQ)
            for option, value in (("LINGER", 0), ("MAXMSGSIZE", MAX_BYTES), ("SNDTIMEO", int(1e3 * _FIRST_S))):
                self._socket.setsockopt(getattr(self._zmq, option), value)
            self._socket.connect(self.address)
        self._socket.setsockopt(self._zmq.RCVTIMEO, int(1e3 * within_s))
        self._socket.send(frame)
        answer: bytes = self._socket.recv()
        return answer

    def _drop(self) -> None:
        if self._socket is not None:
            with suppress(self._zmq.ZMQError):
                self._socket.close(linger=0)
            self._socket = None

    def _is_late(self, error: Any) -> bool:
        return bool(error.errno == self._zmq.EAGAIN)
