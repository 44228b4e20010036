"""Our two ends of `benchmarks.wire`: an observation's box up, a chunk's box down, both polled.

    python -m benchmarks.wire_mailbox server|client FOLDER

The client asks for as long as a line says (`{"seconds": S}`) and answers with what it measured.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.wire_payload import PROMPT, ask_on, rows_for
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.realtime import tighten_timers
from dualsys.bridge.wire import ChunkCodec, ObservationCodec
from dualsys.messages import ActionChunk, Observation

POLL_S = 100e-6
OBSERVATION, CHUNK = "observation.box", "chunk.box"


def create(folder: Path) -> None:
    """Lay out both boxes."""
    Mailbox.create(folder / OBSERVATION, ObservationCodec(), capacity=2**20)
    Mailbox.create(folder / CHUNK, ChunkCodec(), capacity=2**16)


def serve(folder: Path) -> None:
    """Answer the newest observation, until killed."""
    inbox = Mailbox.reader(folder / OBSERVATION, ObservationCodec())
    outbox = Mailbox.writer(folder / CHUNK, ChunkCodec())
    print("ready", flush=True)
    answered = -1
    while True:
        stamped = inbox.read_stamped()
        if stamped is None or stamped[0].sequence == answered:
            time.sleep(POLL_S)
            continue
        stamps, observation = stamped
        answered = stamps.sequence
        rows = rows_for(observation.state).astype(np.float64)
        chunk = ActionChunk(rows=rows, dt_s=0.02, start_stamp_s=observation.stamp_s, request=answered)
        outbox.write(chunk, sequence=answered, observation_stamp_s=stamps.observation_stamp_s)


def ask_when_told(folder: Path) -> None:
    """The other end."""
    outbox = Mailbox.writer(folder / OBSERVATION, ObservationCodec())
    inbox = Mailbox.reader(folder / CHUNK, ChunkCodec())
    sequence = -1

    def ask(state: NDArray[np.float32], images: dict[str, NDArray[np.uint8]]) -> NDArray[Any]:
        nonlocal sequence
        sequence += 1
        now_s = time.monotonic()
        observation = Observation(stamp_s=now_s, state=state.astype(np.float64), images=images, instruction=PROMPT)
        outbox.write(observation, sequence=sequence, observation_stamp_s=now_s)
        while True:
            chunk = inbox.read()
            if chunk is not None and chunk.request == sequence:
                return chunk.rows
            time.sleep(POLL_S)

    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"took_us": ask_on(ask, json.loads(line)["seconds"])}), flush=True)


if __name__ == "__main__":
    tighten_timers()
    {"server": serve, "client": ask_when_told}[sys.argv[1]](Path(sys.argv[2]))
