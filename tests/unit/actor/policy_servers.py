"""Servers of outside policies for tests: real sockets, with the answers that a test wants.

Written from the protocols' facts: openpi's `websocket_policy_server.py`, and GR00T's `service.py` (N1.5) and
`server_client.py` (N1.6, N1.7).
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
import zmq
from websockets.sync.server import ServerConnection, serve

from dualsys.actor.outside.array_packing import pack, unpack

Answer = Callable[[dict[str, Any]], Any]
"""Of a message: what goes back. Bytes and text go as they are, everything else is packed; None: hang up."""


@contextmanager
def openpi_server(answer: Answer, metadata: Any = None) -> Iterator[str]:
    """Its address."""

    def converse(connection: ServerConnection) -> None:
        connection.send(metadata if isinstance(metadata, bytes | str) else pack(metadata or {}))
        for frame in connection:
            assert isinstance(frame, bytes)
            said = answer(unpack(frame))
            if said is None:
                connection.close(1011, "out of memory")
                return
            connection.send(said if isinstance(said, bytes | str) else pack(said))

    with serve(converse, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def npy(value: Any) -> Any:
    """An array as GR00T packs it."""
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": file.getvalue()}


def read_npy(found: dict[Any, Any]) -> Any:
    """And reads it."""
    return np.load(io.BytesIO(found["as_npy"]), allow_pickle=False) if "__ndarray_class__" in found else found


@contextmanager
def groot_server(answer: Answer) -> Iterator[str]:
    """Its address. A None is no answer at all."""
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            if not socket.poll(20):
                continue
            said = answer(msgpack.unpackb(socket.recv(), object_hook=read_npy))
            if said is None:
                return
            socket.send(said if isinstance(said, bytes) else msgpack.packb(said, default=npy))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        is_over.set()
        thread.join()
        socket.close(linger=0)
        context.term()
