"""Is a value in shared memory ever read half old, half new? Run it on your own board.

    python -m benchmarks.torn_reads
    python -m benchmarks.torn_reads --reads 10000000 1000000 --sizes 16384 131072 --seconds 600

A process writes flat out and is killed with SIGKILL at random moments; the next one adopts the box and goes on. Another
process reads. What counts are reads that returned a new value; every byte of each is made again from its sequence
number and compared, and so are its stamps. Beside our mailbox stands a plain buffer without its protocol in the same
harness, which must tear: else the check would see nothing. Exit status 1 where the mailbox tore or went back, the
plain buffer didn't tear, or `--reads` was not reached within `--seconds`.
"""

import mmap
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.other_side import other_side
from benchmarks.payload_pattern import PayloadPattern
from benchmarks.report import exit_unless, write_report
from benchmarks.stress_writer import MAILBOX, NUMBER, PLAIN
from dualsys.bridge.fences import is_strongly_ordered
from dualsys.bridge.realtime import tighten_timers
from dualsys.bridge.run_folder import SHARED_MEMORY
from dualsys.bridge.shared_slots import SharedSlots

PLAIN_SECONDS = 5.0
"""A plain buffer needs no longer to tear."""
_LOOK_EVERY = 128
"""Reads between two looks at the clock."""
_NOTE_EVERY_S = 0.25
_PATIENCE = 8
"""Reads in vain before a rest."""
_REST_S = 10e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TornReadsConfig:
    """Stress the mailbox's protocol with real processes, under SIGKILL of its writers."""

    seconds: float = 20.0
    """At most, for each size."""
    sizes: tuple[int, ...] = (16_384, 131_072, 2_097_152)
    """Bytes of a value, multiples of 8."""
    reads: tuple[int, ...] = ()
    """Reads of a new value after which a size is done, one for each size; default: as many as its seconds give."""
    kill_every_s: float = 0.25
    """Mean time between two kills; the times are random (exponential)."""
    careful: bool = not is_strongly_ordered()
    """With the memory fences and checksums of processors that don't keep the order of stores."""
    seed: int = 0
    """Of the kills' times."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/torn_reads.json`; a plot is written beside it."""


@dataclass(kw_only=True)
class Tally:
    """What was read of one kind and size."""

    kind: str
    nbytes: int
    asked: int | None = None
    """Reads of a new value that were asked for; None: as many as there are."""
    new: int = 0
    """Reads that returned a value not read before."""
    again: int = 0
    """Reads that found nothing new."""
    torn: int = 0
    gone_back: int = 0
    newest: int = -1
    """Number read last."""
    given_up: int = 0
    kills: int = 0
    inside_a_write: int | None = None
    epochs: int | None = None
    seconds: float = 0.0
    timeline: list[tuple[float, int]] = field(default_factory=list)
    """Seconds, and new values by then; the later, the fewer."""

    def note(self) -> None:
        """Add to the timeline, unless it has a point close by."""
        if not self.timeline or self.seconds >= 1.02 * self.timeline[-1][0]:
            self.timeline.append((round(self.seconds, 3), self.new))


Read = Callable[[], tuple[int, bool] | None]
"""Number of a new value and whether it is whole; None: nothing new."""


def main(config: TornReadsConfig) -> None:
    """Measure, print, write. Exits with 1 when the mailbox tore."""
    tighten_timers()
    if config.reads and len(config.reads) != len(config.sizes):
        raise SystemExit(f"--reads wants a count for each of --sizes {config.sizes}, got {config.reads}")
    counts = config.reads or (None,) * len(config.sizes)
    tallies = []
    with Progress() as progress:
        for nbytes, count in zip(config.sizes, counts, strict=True):
            tallies.append(_stress(config, MAILBOX, nbytes, count, config.seconds, progress))
            tallies.append(_stress(config, PLAIN, nbytes, None, min(config.seconds, PLAIN_SECONDS), progress))
    Console().print(_table(config, tallies))
    verdict = verdict_of(tallies)
    rows = [asdict(tally) for tally in tallies]
    target = write_report(
        "torn_reads", {"config": asdict(config) | {"json": None}, "rows": rows, "verdict": verdict}, config.json
    )
    draw(tallies, target.with_suffix(".png"))
    print(f"{target}, {target.with_suffix('.png').name}")
    exit_unless(verdict)


def verdict_of(tallies: list[Tally]) -> dict[str, bool]:
    """What must hold."""
    boxes = [tally for tally in tallies if tally.kind == MAILBOX]
    return {
        "mailbox_never_torn": not any(tally.torn for tally in boxes),
        "mailbox_never_gone_back": not any(tally.gone_back for tally in boxes),
        "mailbox_read_at_all": all(tally.new for tally in boxes),
        "mailbox_read_as_often_as_asked": all(tally.new >= (tally.asked or 0) for tally in boxes),
        "plain_buffer_tears_in_the_same_harness": any(tally.torn for tally in tallies if tally.kind == PLAIN),
    }


def _stress(
    config: TornReadsConfig, kind: str, nbytes: int, count: int | None, seconds: float, progress: Progress
) -> Tally:
    tally, rng = Tally(kind=kind, nbytes=nbytes, asked=count), random.Random(config.seed)
    task = progress.add_task(f"{kind}, {nbytes} bytes", total=count or seconds)
    # Each on a core of its own, where there are two: a busy scheduler may leave both on one, where nothing races.
    core, *others = sorted(os.sched_getaffinity(0))
    careful = "careful" if config.careful else "as it is"
    with tempfile.TemporaryDirectory(prefix="torn-reads.", dir=SHARED_MEMORY) as folder, _on_core(core):
        path = Path(folder) / "value"
        with (
            _reader(kind, path, nbytes, config.careful, tally) as read,
            other_side("benchmarks.stress_writer", kind, str(path), str(nbytes), careful) as writers,
            _on_core(others[-1] if others else core),
        ):
            begin_s, told_s = time.monotonic(), 0.0
            kill_s = begin_s + rng.expovariate(1.0 / config.kill_every_s)
            while (count is None or tally.new < count) and tally.seconds < seconds:
                _read_some(read, tally)
                now_s = time.monotonic()
                tally.seconds = now_s - begin_s
                if now_s >= kill_s:
                    writers.say("kill")
                    kill_s = now_s + rng.expovariate(1.0 / config.kill_every_s)
                if tally.seconds >= told_s + _NOTE_EVERY_S:
                    told_s = tally.seconds
                    tally.note()
                    progress.update(task, completed=tally.seconds if count is None else tally.new)
            progress.update(task, completed=count or seconds)
            ended = writers.finish()
    tally.kills, tally.inside_a_write = ended["kills"], ended["inside_a_write"]
    return tally


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Run this process, and what it starts, on one core inside."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _read_some(read: Read, tally: Tally) -> None:
    in_vain = 0
    for _ in range(_LOOK_EVERY):
        found = read()
        if found is None:
            tally.again += 1
            in_vain += 1
            if in_vain % _PATIENCE == 0:
                # On a busy machine the writer may wait for our core. The wake-up interrupts it wherever it is.
                time.sleep(_REST_S)
            continue
        number, whole = found
        tally.new += 1
        tally.torn += not whole
        tally.gone_back += number <= tally.newest
        tally.newest = number


@contextmanager
def _reader(kind: str, path: Path, nbytes: int, careful: bool, tally: Tally) -> Iterator[Read]:
    pattern = PayloadPattern(nbytes)
    if kind == MAILBOX:
        SharedSlots.create(path, capacity=nbytes)
        with SharedSlots.attach(path, write=False, careful=careful) as box:
            yield _mailbox_read(box, pattern)
            tally.given_up, tally.epochs = box.reads_given_up, box.epoch
        return
    path.write_bytes(NUMBER.pack(-1) + bytes(nbytes))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as shared:
        yield _plain_read(shared, pattern)


def _mailbox_read(box: SharedSlots, pattern: PayloadPattern) -> Read:
    last: Any = None

    def read() -> tuple[int, bool] | None:
        nonlocal last
        letter = box.read()
        if letter is last or letter is None:
            return None
        last = letter
        stamps, number = letter[0], letter[0].sequence
        agree = stamps.observation_stamp_s == number and stamps.time_to_live_s == number + 0.5
        return number, agree and pattern.matches(number, letter[1])

    return read


def _plain_read(shared: mmap.mmap, pattern: PayloadPattern) -> Read:
    last = -1

    def read() -> tuple[int, bool] | None:
        nonlocal last
        data = shared[:]
        number = NUMBER.unpack_from(data)[0]
        if number == last:
            return None
        last = number
        return number, pattern.matches(number, memoryview(data)[NUMBER.size :])

    return read


def _table(config: TornReadsConfig, tallies: list[Tally]) -> Table:
    protection = "with fences and checksums" if config.careful else "no fences, no checksums: not needed here"
    table = Table(caption=f"reads of a new value while a writer writes flat out; {protection}")
    for name in ("kind", "bytes", "new values", "torn", "back", "given up", "kills", "in a write", "s"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for row in tallies:
        inside = "" if row.inside_a_write is None else f"{row.inside_a_write:,}"
        counts = (row.nbytes, row.new, row.torn, row.gone_back, row.given_up, row.kills)
        table.add_row(row.kind, *(f"{count:,}" for count in counts), inside, f"{row.seconds:.1f}")
    return table


def draw(tallies: list[Tally], path: Path) -> None:
    """Share of torn reads, and new values read over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    shares, reads = figure.subplots(1, 2)
    colours = {MAILBOX: "#4477aa", PLAIN: "#cc6677"}
    for row, tally in enumerate(tallies):
        colour = colours[tally.kind]
        share = tally.torn / max(1, tally.new)
        shares.barh(row, share, color=colour)
        shares.text(share + 0.01, row, f"{tally.torn:,} of {tally.new:,}", va="center", fontsize=8)
        if tally.kind == MAILBOX:
            reads.plot(*zip(*tally.timeline, strict=True), label=f"{tally.nbytes:,} bytes, {tally.kills} kills")
    shares.set_yticks(range(len(tallies)), [f"{tally.kind}, {tally.nbytes:,} B" for tally in tallies])
    shares.invert_yaxis()
    shares.set_xlim(0, 1)
    shares.set_xlabel("share of reads that were torn")
    if any(tally.new for tally in tallies if tally.kind == MAILBOX):
        reads.set_yscale("log")
    reads.set_xlabel("seconds")
    reads.set_ylabel("new values read from the mailbox")
    reads.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(TornReadsConfig, description=__doc__))
