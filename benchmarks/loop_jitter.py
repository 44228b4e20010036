"""How late is a tick beside a planner and an actor that use all cores?

    python -m benchmarks.loop_jitter

The real tick process, and an empty loop in the same process and scheduling class, take turns of ten seconds, while the
shipped planner and actor compute without a pause. What the empty loop shows is what the kernel, the machine and its
host give anybody; what the tick adds is ours. It is asked to miss no more deadlines, and to be no later at the 99.9th
percentile, than 1.5 times the empty loop. `steal` is time that a virtual machine's host kept for others. Done for
SCHED_FIFO, for SCHED_DEADLINE, and without any privilege, which is reported as it is. Exit status 1 where the claim is
not kept.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.jitter_parts import arm_system, controller_system, start_burners
from benchmarks.jitter_tick import LOOPS, PLAN
from benchmarks.report import RESULTS, exit_unless, write_report
from dualsys.app.run_live import LiveTable
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.supervisor import Supervisor
from dualsys.bridge.system import SystemConfig
from dualsys.settings import RealtimeConfig

Scheduler = Literal["fifo", "deadline", "none"]
CLAIM = 1.5
"""Times as many misses, and as late, as the empty loop."""
_PERCENTILES = ("p50", "p99", "p99_9", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopJitterConfig:
    """Lateness of the real tick and of an empty loop, in turns, beside a planner and an actor."""

    seconds: float = 60.0
    """Of each loop at each rate in each scheduling class."""
    block_s: float = 10.0
    """How long a loop runs before the other takes its turn."""
    hz: tuple[float, ...] = (500.0, 1000.0)
    """Rates."""
    schedulers: tuple[Scheduler, ...] = ("fifo", "deadline", "none")
    """Scheduling classes; `none` asks for no locked memory either."""
    load: Literal["controller", "burners"] = "controller"
    """What runs beside: the shipped planner and actor without a pause, or a process a core that only computes, beside
    an arm without physics."""
    task: str = "humanoid/touch"
    """Task of the controller; above its own highest rate its physics are stepped in every n-th tick."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/loop_jitter.json`; the plot lies beside it."""


def main(config: LoopJitterConfig) -> None:
    """Run, print, write. Exits with 1 where the claim is not kept."""
    runs = []
    for scheduler in config.schedulers:
        for hz in config.hz:
            runs.append(_run(config, scheduler, hz))
            print(_line(runs[-1]), flush=True)
    verdict = verdict_of(runs)
    Console().print(result_table(runs))
    for name, kept in verdict.items():
        print(f"{name}: {'yes' if kept else 'NO'}")
    path = config.json or RESULTS / "loop_jitter.json"
    settings = asdict(config) | {"json": None}
    print(write_report("loop_jitter", {"config": settings, "runs": runs, "verdict": verdict}, path))
    draw(runs, path.with_suffix(".png"))
    exit_unless(verdict)


def _run(config: LoopJitterConfig, scheduler: Scheduler, hz: float) -> dict[str, Any]:
    pairs = max(round(config.seconds / config.block_s), 1)
    system = _system(config, scheduler, hz, seconds=2 * pairs * config.block_s)
    with RunFolder(f"jitter-{os.getpid()}") as folder, LiveTable(system.seconds) as table:
        (folder.path / PLAN).write_text(json.dumps({"block_s": config.block_s, "pairs": pairs}))
        system = system.model_copy(update={"folder": folder.path})
        supervisor = Supervisor(system, "subprocess", table.show, tick_module="benchmarks.jitter_tick")
        burners = start_burners(folder.path, os.cpu_count() or 1) if config.load == "burners" else []
        try:
            report = supervisor.run()
        finally:
            for burner in burners:
                burner.stop(within_s=5.0)
    return {
        "scheduler": scheduler,
        "hz": hz,
        "realtime": report["realtime"],
        "loops": report["loops"],
        "blocks": report["blocks"],
        "steal_s": {name: sum(block["steal_s"] for block in blocks_of(report, name)) for name in LOOPS},
        "beside": {"planner_hz": report["planner"]["hz"], "chunks_in_last_block": report["actor"]["count"]},
        "load_average": os.getloadavg()[0],
    }


def _system(config: LoopJitterConfig, scheduler: Scheduler, hz: float, *, seconds: float) -> SystemConfig:
    realtime = RealtimeConfig(scheduler=scheduler, lock_memory=scheduler != "none")
    if config.load == "burners":
        return arm_system(hz, seconds=seconds, realtime=realtime)
    return controller_system(config.task, config.checkpoint, hz, seconds=seconds, realtime=realtime)


def blocks_of(run: dict[str, Any], loop: str) -> list[dict[str, Any]]:
    """Blocks of one loop, in order."""
    return [block for block in run["blocks"] if block["loop"] == loop]


def ratios_of(run: dict[str, Any]) -> dict[str, float | None]:
    """Tick over empty loop; None where the empty loop has nothing to compare with."""
    ours, empty = (run["loops"][name] for name in LOOPS)
    pairs = {
        "misses": (ours["misses"], empty["misses"]),
        "p99_9": (ours["lateness_us"]["p99_9"], empty["lateness_us"]["p99_9"]),
    }
    return {name: one / other if other else None for name, (one, other) in pairs.items()}


def holds(run: dict[str, Any]) -> bool:
    """Whether the tick keeps to the claim. Where the empty loop missed nothing, nor may the tick."""
    ours, empty = (run["loops"][name] for name in LOOPS)
    misses = ours["misses"] <= CLAIM * empty["misses"]
    return bool(misses and ours["lateness_us"]["p99_9"] <= CLAIM * empty["lateness_us"]["p99_9"])


def verdict_of(runs: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Of every run that had the class it asked for; without privileges nothing is claimed."""
    return {
        f"{run['scheduler']} at {run['hz']:g} Hz within {CLAIM:g} times the empty loop": holds(run)
        for run in runs
        if run["realtime"]["scheduler"].startswith("SCHED_")
    }


def _line(run: dict[str, Any]) -> str:
    ours, empty = (run["loops"][name] for name in LOOPS)
    return (
        f"{run['scheduler']} {run['hz']:g} Hz ({run['realtime']['scheduler']}): missed {ours['misses']} of "
        f"{ours['count']}, the empty loop {empty['misses']} of {empty['count']}; p99.9 "
        f"{ours['lateness_us']['p99_9']:.0f} against {empty['lateness_us']['p99_9']:.0f} us; steal "
        f"{run['steal_s']['tick']:.2f} and {run['steal_s']['empty']:.2f} s"
    )


def result_table(runs: Sequence[dict[str, Any]]) -> Table:
    """A row for each loop of each run."""
    caption = "ratio: of the 99.9th percentiles; work: what a tick takes"
    table = Table(title="lateness in microseconds, tick and empty loop in turns", caption=caption)
    for name in ("class, Hz", "loop", "missed", "p50", "p99", "p99.9", "max", "work p99", "steal s", "ratio"):
        table.add_column(name, justify="left" if name in ("class, Hz", "loop") else "right")
    for run in runs:
        ratio = ratios_of(run)["p99_9"]
        for loop in LOOPS:
            figures = run["loops"][loop]
            table.add_row(
                f"{run['scheduler']} {run['hz']:g}",
                loop,
                str(figures["misses"]),
                *(f"{figures['lateness_us'][name]:.0f}" for name in _PERCENTILES),
                f"{figures['work_us']['p99']:.0f}",
                f"{run['steal_s'][loop]:.2f}",
                f"{ratio:.2f}" if loop == "tick" and ratio is not None else "",
            )
    return table


def draw(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """99.9th percentile of every block, a panel a run, in the order in which they ran."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * max(len(runs), 2), 3.4), layout="constrained")
    panels = figure.subplots(1, len(runs), squeeze=False)[0]
    for axes, run in zip(panels, runs, strict=True):
        for name, colour in zip(LOOPS, ("#4477aa", "#cc6677"), strict=True):
            places = [place for place, block in enumerate(run["blocks"]) if block["loop"] == name]
            blocks = blocks_of(run, name)
            low, high = ([block["lateness_us"][key] for block in blocks] for key in ("p99_9", "max"))
            axes.plot(places, low, "o", color=colour, label=f"{name}: p99.9")
            axes.plot(places, high, "_", color=colour, label=f"{name}: max")
        axes.axhline(1e6 / run["hz"], color="#999999", linestyle=":", label="a period")
        axes.set_yscale("log")
        axes.set_title(f"{run['scheduler']}, {run['hz']:g} Hz", fontsize=10)
        axes.set_xlabel("block")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("lateness (us)")
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(LoopJitterConfig, description=__doc__))
