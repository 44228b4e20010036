"""One websocket to a policy's server, as openpi's own client opens it: no compression, metadata first."""

from collections.abc import Mapping
from typing import Any, final

from dualsys.actor.outside.array_packing import pack, unpack
from dualsys.actor.outside.extras import import_websockets
from dualsys.actor.outside.frame import MAX_BYTES
from dualsys.errors import ConfigError, PolicyError


@final
class OpenPIConnection:
    """Opened at once; opened anew by the next `ask` when it was lost. Raises `PolicyError` where nobody answers.

    Args:
        address: `ws://HOST:PORT` or `wss://...`.
        timeout_s: Longest wait for an answer; a server's first may take minutes, while it compiles.
    """

    def __init__(self, address: str, *, timeout_s: float = 60.0) -> None:
        if not address.startswith(("ws://", "wss://")):
            raise ConfigError(f"{address!r} is no address of a websocket: give ws://HOST:PORT")
        self.address, self._timeout_s = address, timeout_s
        self._client = import_websockets("sync.client")
        self._errors: tuple[type[BaseException], ...] = (
            OSError,
            EOFError,
            import_websockets("exceptions").WebSocketException,
        )
        self._socket: Any = None
        self.metadata: Mapping[str, Any] = {}
        """What the server said of itself."""
        self._open()

    def ask(self, message: dict[str, Any]) -> Any:
        """A server's answer to an observation. Raises `PolicyError`, and then the connection is gone."""
        frame = pack(message)
        if self._socket is None:
            self._open()
        try:
            self._socket.send(frame)
            return unpack(self._hear())
        except PolicyError:
            self.close()
            raise
        except self._errors as error:
            self.close()
            raise PolicyError(self._lost(error)) from error

    def close(self) -> None:
        """Hang up. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        try:
            self._socket = self._client.connect(
                self.address, compression=None, max_size=MAX_BYTES, open_timeout=10.0, close_timeout=1.0
            )
            said = unpack(self._hear())
        except PolicyError:
            self.close()
            raise
        except self._errors as error:
            self.close()
            raise PolicyError(
                f"no policy answers at {self.address}: {str(error) or type(error).__name__}. Start its server (ours: "
                "dualsys policy serve), or mend the address"
            ) from error
        self.metadata = said if isinstance(said, Mapping) else {}

    def _hear(self) -> bytes:
        """The next frame. A server speaks in text when it has failed."""
        try:
            frame: bytes | str = self._socket.recv(timeout=self._timeout_s)
        except TimeoutError:
            raise PolicyError(f"the policy at {self.address} gave no answer within {self._timeout_s:g} s") from None
        if isinstance(frame, str):
            last = frame.strip().splitlines()[-1] if frame.strip() else "no more than that"
            raise PolicyError(f"the policy at {self.address} failed: {last}")
        return frame

    def _lost(self, error: BaseException) -> str:
        return f"the policy at {self.address} has hung up: {str(error) or type(error).__name__}"
