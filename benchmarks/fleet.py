"""How old are the subgoals of many robots that share one planner, with batching and without?

    python -m benchmarks.fleet

Up to sixteen robots, each with a run's own mailboxes, real camera frames of a scene of its own, and a relay, ask one
`FleetServer` on Ray, each at the planner's rate, evenly apart. Of each robot the age of its newest subgoal is sampled a
hundred times a second, from the stamp of the oldest input to the moment of reading. Beside it the same server with
batches of one: what a server without batching gives. Blocks of both alternate.
"""

import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.fleet_robots import Robot, percentiles, record_scenes
from benchmarks.report import write_report
from dualsys.bridge.fleet_server import FleetConfig
from dualsys.bridge.parts import PartConfig
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.server_line import OwnServer, ServerLine
from dualsys.bridge.system import SystemConfig
from dualsys.checkpoint import Checkpoint, portable_checkpoint
from dualsys.messages import Observation
from dualsys.settings import RestartConfig

BATCHED, ONE_BY_ONE = "batched", "one by one"
WAYS = (BATCHED, ONE_BY_ONE)
_LOADS_WITHIN_S = 300.0
_WARM_UP_SUBGOALS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBenchmarkConfig:
    """Age of each robot's subgoal over the number of robots."""

    robots: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Robots that share the planner."""
    seconds: float = 15.0
    """Of each block."""
    blocks: int = 2
    """Of each number of robots, with batching and without; they alternate."""
    task: str = "humanoid/touch"
    """Whose scenes the robots see."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder; its planner is served."""
    max_batch: int = 4
    """Robots that are planned for at once."""
    planner_hz: float = 5.0
    """Observations a second that each robot sends."""
    camera_hz: float = 10.0
    """Images a second of each robot."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/fleet.json`; a plot is written beside it."""


def main(config: FleetBenchmarkConfig) -> None:
    """Measure, print, write."""
    rows = measure(config)
    Console().print(result_table(config, rows))
    target = write_report("fleet", {"config": asdict(config) | {"json": None}, "rows": rows}, config.json)
    draw(config, rows, target.with_suffix(".png"))
    print(f"{target}, {target.with_suffix('.png').name}")


def measure(config: FleetBenchmarkConfig) -> list[dict[str, Any]]:
    """A row of figures for each number of robots and each way."""
    scenes, system = record_scenes(config.task, config.checkpoint, max(config.robots))
    ray = start_ray(None, num_cpus=1, without="nothing: this benchmark is about it, and")
    blocks: dict[tuple[str, int], list[dict[str, Any]]] = {(way, n): [] for n in config.robots for way in WAYS}
    try:
        lines = {BATCHED: _serve(ray, config, config.max_batch), ONE_BY_ONE: _serve(ray, config, 1)}
        turns = [(way, n) for n in config.robots for _ in range(config.blocks) for way in WAYS]
        for way, number in track(turns, description="blocks"):
            blocks[way, number].append(_block(config, lines[way], scenes[:number], system))
    finally:
        ray.shutdown()
    return [{"way": way, "robots": number, **figures_of(found)} for (way, number), found in blocks.items()]


def _serve(ray: Any, config: FleetBenchmarkConfig, max_batch: int) -> ServerLine:
    """A server that has loaded."""
    served = FleetConfig(
        planner=PartConfig(checkpoint=portable_checkpoint(config.checkpoint)),
        embodiment=Checkpoint.open(config.checkpoint).manifest.embodiment,
        max_batch=max_batch,
    )
    line = ServerLine(ray, OwnServer(ray, served, {}, restart=RestartConfig(max_restarts=0), hangs_after_s=60.0))
    until_s = time.monotonic() + _LOADS_WITHIN_S
    while (report := line.call("report", within_s=_LOADS_WITHIN_S))["state"] == "loading":
        if time.monotonic() > until_s:
            raise SystemExit(f"the planner did not load within {_LOADS_WITHIN_S:g} s")
        time.sleep(0.1)
    if report["problem"]:
        raise SystemExit(report["problem"])
    return line


def _block(
    config: FleetBenchmarkConfig, line: ServerLine, scenes: list[list[Observation]], system: SystemConfig
) -> dict[str, Any]:
    with ExitStack() as stack:
        robots = [
            Robot(
                f"fleet-{number}",
                looks,
                system,
                line,
                planner_hz=config.planner_hz,
                camera_hz=config.camera_hz,
                phase=number / len(scenes),
            )
            for number, looks in enumerate(scenes)
        ]
        for robot in robots:
            stack.enter_context(robot)
        for robot in robots:
            robot.await_subgoals(_WARM_UP_SUBGOALS, within_s=_LOADS_WITHIN_S)
        before = line.call("report")
        for robot in robots:
            robot.measure(True)
        begin_s, spent_s = time.monotonic(), _processor_s(before["pid"])
        time.sleep(config.seconds)
        for robot in robots:
            robot.measure(False)
        seconds, spent_s = time.monotonic() - begin_s, _processor_s(before["pid"]) - spent_s
        after = line.call("report")
    observations = after["batches"] * after["batch"] - before["batches"] * before["batch"]
    return {
        "seconds": seconds,
        "ages_s": [robot.readings.ages_s for robot in robots],
        "subgoals": [robot.readings.subgoals for robot in robots],
        "failures": sum(robot.failures for robot in robots),
        "batches": after["batches"] - before["batches"],
        "observations": round(observations),
        "processor_s": spent_s,
    }


def _processor_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures_of(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the blocks of one way and number of robots together; each robot's age on its own, too."""
    robots = len(blocks[0]["ages_s"])
    ages = [[age for block in blocks for age in block["ages_s"][robot]] for robot in range(robots)]
    seconds = sum(block["seconds"] for block in blocks)
    subgoals = [sum(block["subgoals"][robot] for block in blocks) for robot in range(robots)]
    batches = sum(block["batches"] for block in blocks)
    observations = sum(block["observations"] for block in blocks)
    each = [{**percentiles(found), "hz": count / seconds} for found, count in zip(ages, subgoals, strict=True)]
    return {
        "age_s": percentiles([age for found in ages for age in found]),
        "worst_robot_p99_s": max((robot["p99"] for robot in each if robot["p99"] is not None), default=None),
        "subgoals_per_s": sum(subgoals) / seconds,
        "fewest_hz": min(robot["hz"] for robot in each),
        "most_hz": max(robot["hz"] for robot in each),
        "batch": observations / batches if batches else 0.0,
        "processor_ms_per_subgoal": 1e3 * sum(block["processor_s"] for block in blocks) / max(sum(subgoals), 1),
        "failures": sum(block["failures"] for block in blocks),
        "each_robot": each,
    }


def result_table(config: FleetBenchmarkConfig, rows: list[dict[str, Any]]) -> Table:
    """A row for each number of robots and each way."""
    table = Table(title=f"one planner, robots that ask at {config.planner_hz:g} Hz each")
    for name in (
        "robots",
        "way",
        "age p50",
        "p99",
        "worst robot's p99",
        "subgoals/s",
        "each robot",
        "batch",
        "CPU each",
    ):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        table.add_row(
            str(row["robots"]),
            row["way"],
            *(_ms(value) for value in (row["age_s"]["p50"], row["age_s"]["p99"], row["worst_robot_p99_s"])),
            f"{row['subgoals_per_s']:.1f}",
            f"{row['fewest_hz']:.1f} to {row['most_hz']:.1f} Hz",
            f"{row['batch']:.1f}",
            f"{row['processor_ms_per_subgoal']:.0f} ms",
        )
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f} ms"


def draw(config: FleetBenchmarkConfig, rows: list[dict[str, Any]], path: Path) -> None:
    """Age of the newest subgoal, and subgoals a second, over the number of robots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    ages, rates = figure.subplots(1, 2)
    for way, colour in zip(WAYS, ("#4477aa", "#cc6677"), strict=True):
        found = [row for row in rows if row["way"] == way and row["age_s"]["p50"] is not None]
        numbers = [row["robots"] for row in found]
        ages.plot(numbers, [row["age_s"]["p50"] for row in found], marker="o", color=colour, label=f"{way}, p50")
        ages.plot(numbers, [row["age_s"]["p99"] for row in found], ":", marker="o", color=colour, label=f"{way}, p99")
        rates.plot(numbers, [row["subgoals_per_s"] for row in found], marker="o", color=colour, label=way)
    asked = np.array(config.robots)
    rates.plot(asked, asked * config.planner_hz, ":", color="#999999", label="asked for")
    ages.set_ylabel("age of the newest subgoal (s)")
    rates.set_ylabel("subgoals a second, all robots")
    for axes in (ages, rates):
        axes.set_xlabel("robots")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(FleetBenchmarkConfig, description=__doc__))
