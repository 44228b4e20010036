"""openpi's two ends of `benchmarks.wire`: its real client, and a server that does what its server does.

    python -m benchmarks.wire_openpi server|client FOLDER

openpi's server isn't on the registry. What it does for a call: receive, unpack with `msgpack_numpy`, infer, pack, send,
on one websocket without compression or limit, metadata first. The client asks for as long as a line says. Needs
openpi-client and websockets, and nothing of dualsys.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.wire_payload import PROMPT, ask_on, rows_for

PORT = "port"
"""File that the server writes its port into."""


async def serve(folder: Path) -> None:
    """Answer calls, until killed."""
    from openpi_client import msgpack_numpy
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as listen

    async def handle(connection: ServerConnection) -> None:
        packer = msgpack_numpy.Packer()
        await connection.send(packer.pack({}))
        async for message in connection:
            observation = msgpack_numpy.unpackb(message)
            await connection.send(packer.pack({"actions": rows_for(observation["observation/state"])}))

    async with listen(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        (folder / PORT).write_text(str(next(iter(server.sockets)).getsockname()[1]))
        print("ready", flush=True)
        await server.serve_forever()


def ask_when_told(folder: Path) -> None:
    """The other end."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    policy = WebsocketClientPolicy(host="127.0.0.1", port=int((folder / PORT).read_text()))

    def ask(state: NDArray[np.float32], images: dict[str, NDArray[np.uint8]]) -> NDArray[Any]:
        observation = {f"observation/{name}": image for name, image in images.items()}
        answer = policy.infer(observation | {"observation/state": state, "prompt": PROMPT})
        rows: NDArray[Any] = answer["actions"]
        return rows

    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"took_us": ask_on(ask, json.loads(line)["seconds"])}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        ask_when_told(Path(sys.argv[2]))
