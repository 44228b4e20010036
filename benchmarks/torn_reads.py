"""Is a value in shared memory ever read half old, half new? Run it on your own board.

    python -m benchmarks.torn_reads

A process writes flat out, another reads and checks every word. Beside our mailbox stands a plain buffer without its
protocol, which must tear: else the check would see nothing.
"""

import mmap
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.bridge.fences import is_strongly_ordered
from dualsys.bridge.run_folder import SHARED_MEMORY
from dualsys.bridge.shared_slots import SharedSlots

_WRITER = """
import mmap, sys
import numpy as np
from pathlib import Path
from dualsys.bridge.shared_slots import SharedSlots
path, kind, nbytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
number = 0
if kind == "mailbox":
    box = SharedSlots.attach(path, write=True)
    def write(data, number): box.write(data, sequence=number, observation_stamp_s=0.0, time_to_live_s=1.0)
else:
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
    def write(data, number): shared[:] = data
print("ready", flush=True)
while True:
    write(np.full(nbytes // 8, number, dtype=np.int64).tobytes(), number)
    number += 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TornReadsConfig:
    """Stress the mailbox's protocol with real processes."""

    seconds: float = 10.0
    """For each size and kind."""
    sizes: tuple[int, ...] = (16_384, 131_072, 2_097_152)
    """Bytes of a value."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/torn_reads.json`."""


def main(config: TornReadsConfig) -> None:
    """Measure, print, write. Exits with 1 when the mailbox tore."""
    rows = [_stress(kind, size, config.seconds) for size in config.sizes for kind in ("mailbox", "plain buffer")]
    table = Table(title=f"reads while a writer writes flat out, {config.seconds:g} s each")
    for name in ("kind", "bytes", "reads", "different values", "torn", "gone back", "given up"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    print(write_report("torn_reads", {"rows": rows, "fences": not is_strongly_ordered()}, config.json))
    if any(row["torn"] or row["gone_back"] for row in rows if row["kind"] == "mailbox"):
        raise SystemExit(1)


def _stress(kind: str, nbytes: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="torn-reads.", dir=SHARED_MEMORY) as folder:
        path = Path(folder) / "value"
        with _reader(kind, path, nbytes) as (read, given_up), _writer(kind, path, nbytes):
            reads = torn = gone_back = 0
            newest, values = -1, set[int]()
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                data = read()
                if data is None:
                    continue
                words = np.frombuffer(data, dtype=np.int64)
                reads += 1
                torn += int(words.min()) != int(words.max())
                gone_back += int(words[0]) < newest
                newest = int(words[0])
                values.add(newest)
            return {
                "kind": kind,
                "bytes": nbytes,
                "reads": reads,
                "values": len(values),
                "torn": torn,
                "gone_back": gone_back,
                "given_up": given_up(),
            }


@contextmanager
def _reader(kind: str, path: Path, nbytes: int) -> Iterator[tuple[Callable[[], Any], Callable[[], int]]]:
    if kind == "mailbox":
        SharedSlots.create(path, capacity=nbytes)
        with SharedSlots.attach(path, write=False) as box:

            def read() -> Any:
                letter = box.read()
                return None if letter is None else letter[1]

            yield read, lambda: box.reads_given_up
        return
    path.write_bytes(bytes(nbytes))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as shared:
        yield lambda: shared[:], lambda: 0


@contextmanager
def _writer(kind: str, path: Path, nbytes: int) -> Iterator[None]:
    command = [sys.executable, "-c", _WRITER, str(path), kind, str(nbytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main(tyro.cli(TornReadsConfig, description=__doc__))
