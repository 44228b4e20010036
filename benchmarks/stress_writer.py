"""Writers for `benchmarks.torn_reads`: one writes flat out; for every line read it is killed and another follows.

    python -m benchmarks.stress_writer KIND PATH NBYTES CAREFUL

The kill is a SIGKILL at whatever instruction the writer is; what it leaves is looked at before the next one begins. At
the end of its input it says on a line of JSON how many writers were killed, and how many of them inside a write.
"""

import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.payload_pattern import PayloadPattern
from dualsys.bridge.box_file import HEADER_BYTES
from dualsys.bridge.process_life import die_with_parent
from dualsys.bridge.shared_slots import SharedSlots

MAILBOX, PLAIN = "mailbox", "plain buffer"
NUMBER = struct.Struct("<q")
"""What stands before the payload in a plain buffer."""


def write_flat_out(kind: str, path: Path, nbytes: int, careful: bool) -> None:
    """Write number after number until killed, from where the last writer stopped."""
    pattern = PayloadPattern(nbytes)
    write, number = _mailbox_writer(path, careful) if kind == MAILBOX else _plain_writer(path)
    while True:
        number += 1
        write(number, pattern.payload(number))


def _mailbox_writer(path: Path, careful: bool) -> tuple[Callable[[int, memoryview], None], int]:
    box = SharedSlots.attach(path, write=True, careful=careful)
    stamps = box.peek()

    def write(number: int, payload: memoryview) -> None:
        # The stamps are the number's, too: a header of one value before the payload of another is seen.
        box.write(payload, sequence=number, observation_stamp_s=float(number), time_to_live_s=number + 0.5)

    return write, -1 if stamps is None else stamps.sequence


def _plain_writer(path: Path) -> tuple[Callable[[int, memoryview], None], int]:
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)

    def write(number: int, payload: memoryview) -> None:
        shared[:] = NUMBER.pack(number) + payload

    return write, NUMBER.unpack_from(shared)[0]


def _start(kind: str, path: Path, nbytes: int, careful: bool) -> int:
    child = os.fork()
    if child == 0:
        try:
            die_with_parent(signal.SIGKILL)
            write_flat_out(kind, path, nbytes, careful)
        finally:
            os._exit(1)
    return child


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("a writer ended by itself; what it said is above")


def _is_inside_a_write(path: Path) -> bool:
    """Whether a slot's lock word is odd."""
    words = np.fromfile(path, dtype=np.uint64)
    slots = int(words[1]) >> 32
    stride = (len(words) - HEADER_BYTES // 8) // slots
    return bool((words[HEADER_BYTES // 8 :: stride] % 2).any())


def main() -> None:
    """Entry of the process."""
    kind, path, nbytes, careful = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "careful"
    child, kills, inside = _start(kind, path, nbytes, careful), 0, 0
    print("ready", flush=True)
    for _ in sys.stdin:
        _kill(child)
        kills += 1
        inside += kind == MAILBOX and _is_inside_a_write(path)
        child = _start(kind, path, nbytes, careful)
    _kill(child)
    print(json.dumps({"kills": kills, "inside_a_write": inside if kind == MAILBOX else None}), flush=True)


if __name__ == "__main__":
    main()
