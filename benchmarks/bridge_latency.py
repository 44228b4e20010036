"""What does a tick pay for the newest subgoal, and how old is it by then? Beside a Ray call in the same run.

    python -m benchmarks.bridge_latency

A planner in a Ray actor emits subgoals of one size at 30 Hz; a tick at 500 Hz asks for the newest, every time, decoding
included. Three ways: our mailbox in shared memory, read by a process without Ray, as the tick is; our mailbox in a Ray
actor, read by a process of the cluster; and a Ray call to the planner, in the same place. Blocks of each alternate.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.latency_reader import Readings, mailbox_read, tick
from benchmarks.latency_source import SubgoalSource
from benchmarks.other_side import OtherSide, other_side
from benchmarks.report import write_report
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.ray_mailbox import RayBox, ray_reader
from dualsys.bridge.realtime import tighten_timers
from dualsys.bridge.run_folder import SHARED_MEMORY
from dualsys.bridge.wire import SubgoalCodec

SHARED, RAY_BOX, RAY_CALL = "mailbox, shared memory", "mailbox, Ray", "Ray call"
WAYS = (SHARED, RAY_BOX, RAY_CALL)
CLAIM_BYTES, CLAIM_RATIO = 131_072, 20.0
_ROOM = 4096
"""What a frame needs beside its tokens."""
_CALL_HZ_SHARE = 4
"""A Ray call takes longer than a tick's period: asked at a fourth of the rate, so that it isn't late already."""

Block = Callable[[int], Readings]
"""Measures one block with subgoals of so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeLatencyConfig:
    """Latency of a read at the tick, and age of what was read."""

    seconds: float = 4.0
    """Of each block."""
    blocks: int = 3
    """Of each way and size; they alternate."""
    sizes: tuple[int, ...] = (0, 16_384, 131_072, 2_097_152)
    """Bytes of a subgoal's tokens, multiples of 1024."""
    control_hz: float = 500.0
    """Rate of the tick."""
    planner_hz: float = 30.0
    """Rate of the subgoals."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/bridge_latency.json`; a plot is written beside it."""


def main(config: BridgeLatencyConfig) -> None:
    """Measure, print, write."""
    tighten_timers()
    readings = measure(config)
    rows = [
        {"way": way, "bytes": nbytes, **figures_of(readings[way, nbytes])} for nbytes in config.sizes for way in WAYS
    ]
    ratios = {str(nbytes): ratios_of(readings, nbytes) for nbytes in config.sizes}
    claim = ratios.get(str(CLAIM_BYTES), {}).get("new")
    Console().print(_table(config, rows, ratios))
    if claim is not None:
        print(f"a new subgoal of 128 KB: the mailbox is {claim:.0f} times faster than the Ray call; claimed: 20")
    settings = asdict(config) | {"json": None}
    verdict = {"at_128_kb_at_least_20_times_faster": None if claim is None else claim >= CLAIM_RATIO}
    figures = {"config": settings, "rows": rows, "ray_call_over_mailbox": ratios, "verdict": verdict}
    target = write_report("bridge_latency", figures, config.json)
    draw(config, rows, target.with_suffix(".png"))
    print(f"{target}, {target.with_suffix('.png').name}")


def measure(config: BridgeLatencyConfig) -> dict[tuple[str, int], Readings]:
    """Readings of each way and size."""
    found = {(way, nbytes): Readings() for way in WAYS for nbytes in config.sizes}
    ray = start_ray(None, num_cpus=1, without="nothing: this benchmark is about it, and")
    try:
        source = ray.remote(SubgoalSource).options(num_cpus=0).remote()
        with other_side("benchmarks.latency_reader") as reader:
            ways = _ways(config, ray, source, reader)
            turns = [(way, nbytes) for nbytes in config.sizes for _ in range(config.blocks) for way in WAYS]
            for way, nbytes in track(turns, description="blocks"):
                found[way, nbytes].add(ways[way](nbytes))
    finally:
        ray.shutdown()
    return found


def _ways(config: BridgeLatencyConfig, ray: Any, source: Any, reader: OtherSide) -> dict[str, Block]:
    pace = {"seconds": config.seconds, "hz": config.control_hz}

    def emitting(into: str, nbytes: int, read: Callable[[], Readings]) -> Readings:
        ray.get(source.begin.remote(into, nbytes, config.planner_hz))
        try:
            return read()
        finally:
            ray.get(source.end.remote())

    def shared(nbytes: int) -> Readings:
        with tempfile.TemporaryDirectory(prefix="bridge-latency.", dir=SHARED_MEMORY) as folder:
            path = Path(folder) / "subgoal.box"
            Mailbox.create(path, SubgoalCodec(), capacity=nbytes + _ROOM)
            return emitting(str(path), nbytes, lambda: Readings(**reader.ask({"path": str(path), **pace})))

    def ray_box(nbytes: int) -> Readings:
        with RayBox("bridge-latency", capacity=nbytes + _ROOM):
            box: Mailbox[Any] = ray_reader("bridge-latency", SubgoalCodec())
            try:
                return emitting("bridge-latency", nbytes, lambda: tick(mailbox_read(box), **pace))
            finally:
                box.close()

    def ray_call(nbytes: int) -> Readings:
        have = 0

        def read() -> float | None:
            nonlocal have
            found = ray.get(source.newer_than.remote(have))
            if found is None:
                return None
            have = found[0]
            return float(found[1])

        slower = {"seconds": config.seconds, "hz": config.control_hz / _CALL_HZ_SHARE}
        return emitting("call", nbytes, lambda: tick(read, **slower))

    return {SHARED: shared, RAY_BOX: ray_box, RAY_CALL: ray_call}


def figures_of(readings: Readings) -> dict[str, Any]:
    """Median and 99th percentile of each kind of reading, in microseconds."""
    figures: dict[str, Any] = {"ticks": readings.ticks, "skipped": readings.skipped, "new": len(readings.new_us)}
    for name in ("nothing_us", "new_us", "age_us"):
        values = getattr(readings, name)
        p50, p99 = np.percentile(values, [50, 99]) if values else (None, None)
        figures[name] = {key: None if value is None else float(value) for key, value in (("p50", p50), ("p99", p99))}
    return figures


def ratios_of(readings: dict[tuple[str, int], Readings], nbytes: int) -> dict[str, float | None]:
    """How many times as long a Ray call takes, medians."""

    def ratio(name: str) -> float | None:
        ours, theirs = (getattr(readings[way, nbytes], name) for way in (SHARED, RAY_CALL))
        return float(np.median(theirs) / np.median(ours)) if ours and theirs else None

    return {"nothing_new": ratio("nothing_us"), "new": ratio("new_us")}


def _table(config: BridgeLatencyConfig, rows: list[dict[str, Any]], ratios: dict[str, Any]) -> Table:
    title = f"a read at a {config.control_hz:g} Hz tick, subgoals at {config.planner_hz:g} Hz: p50 / p99, microseconds"
    table = Table(title=title)
    for name in ("way", "bytes", "nothing new", "new", "age when read", "Ray call / mailbox"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        ratio = ratios[str(row["bytes"])]["new"] if row["way"] == SHARED else None
        cells = [_cell(row[name]) for name in ("nothing_us", "new_us", "age_us")]
        table.add_row(row["way"], f"{row['bytes']:,}", *cells, "" if ratio is None else f"{ratio:.0f}")
    return table


def _cell(figure: dict[str, float | None]) -> str:
    return "-" if figure["p50"] is None else f"{figure['p50']:,.0f} / {figure['p99']:,.0f}"


def draw(config: BridgeLatencyConfig, rows: list[dict[str, Any]], path: Path) -> None:
    """What a read of a new value takes, and how old the value is, over its size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("new_us", "age_us"), ("read of a new value", "age when read"), strict=True)
    for axes, name, label in panels:
        for way, colour in zip(WAYS, ("#4477aa", "#66aa55", "#cc6677"), strict=True):
            found = [row for row in rows if row["way"] == way and row[name]["p50"] is not None]
            places = [config.sizes.index(row["bytes"]) for row in found]
            low, high = ([row[name][key] for row in found] for key in ("p50", "p99"))
            axes.plot(places, low, marker="o", color=colour, label=way)
            axes.fill_between(places, low, high, color=colour, alpha=0.15)
        axes.set_xticks(range(len(config.sizes)), [f"{nbytes:,}" for nbytes in config.sizes])
        axes.set_yscale("log")
        axes.set_xlabel("bytes of a subgoal")
        axes.set_ylabel(f"{label} (us): p50 to p99")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(BridgeLatencyConfig, description=__doc__))
