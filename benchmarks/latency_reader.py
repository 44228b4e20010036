"""The tick of `benchmarks.bridge_latency`: reads subgoals on a grid of its own, in a process without Ray.

    python -m benchmarks.latency_reader

For every line it reads (`{"path": BOX, "seconds": S, "hz": R}`) it ticks so long and answers with what it measured.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.realtime import tighten_timers
from dualsys.bridge.wire import SubgoalCodec
from dualsys.clock import Grid, MonotonicClock, Ticker

ReadSubgoal = Callable[[], float | None]
"""When the new value was written, on this machine's monotonic clock; None: nothing new."""


@dataclass(slots=True, kw_only=True)
class Readings:
    """What a tick measured."""

    nothing_us: list[float] = field(default_factory=list)
    """Reads that found nothing new."""
    new_us: list[float] = field(default_factory=list)
    """Reads that returned a new value."""
    age_us: list[float] = field(default_factory=list)
    """From the writing of a new value to its having been read; the wait for the tick is in it."""
    ticks: int = 0
    skipped: int = 0
    """Ticks whose time passed while a read took its time."""

    def add(self, other: "Readings") -> None:
        """Put another block's beside this one's."""
        self.nothing_us += other.nothing_us
        self.new_us += other.new_us
        self.age_us += other.age_us
        self.ticks += other.ticks
        self.skipped += other.skipped


def tick(read: ReadSubgoal, *, seconds: float, hz: float) -> Readings:
    """Read once a period, on an absolute grid, and time it."""
    readings, clock = Readings(), MonotonicClock()
    ticker = Ticker(Grid(origin_s=clock.now_s(), period_s=1.0 / hz))
    deadline_s = clock.now_s() + seconds
    while clock.now_s() < deadline_s:
        clock.sleep_until_s(ticker.next_s)
        if not ticker.due(clock.now_s()):
            continue
        begin_s = time.monotonic()
        written_s = read()
        end_s = time.monotonic()
        readings.ticks += 1
        if written_s is None:
            readings.nothing_us.append(1e6 * (end_s - begin_s))
        else:
            readings.new_us.append(1e6 * (end_s - begin_s))
            readings.age_us.append(1e6 * (end_s - written_s))
    readings.skipped = ticker.skipped
    return readings


def mailbox_read(box: Mailbox[object]) -> ReadSubgoal:
    """Reading a mailbox, decoding included."""
    last: object = box.read_stamped()

    def read() -> float | None:
        nonlocal last
        stamped = box.read_stamped()
        if stamped is None or stamped is last:
            return None
        last = stamped
        return stamped[0].written_stamp_s

    return read


def main() -> None:
    """Entry of the process."""
    tighten_timers()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        box: Mailbox[object] = Mailbox.reader(Path(asked["path"]), SubgoalCodec())  # type: ignore[arg-type]
        readings = tick(mailbox_read(box), seconds=asked["seconds"], hz=asked["hz"])
        box.close()
        print(json.dumps(asdict(readings)), flush=True)


if __name__ == "__main__":
    main()
