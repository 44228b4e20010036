"""How old does the subgoal get when the planner is behind a bad network, and does the tick notice?

    sudo python -m benchmarks.link_faults

Two Ray nodes in two network namespaces on this machine: the planner's, which is the cluster's head, and the robot's.
`dualsys run --mode processes --planner-node` runs on the latter, while the link between them goes from good to late, to
late and lossy, is cut, and comes back. Printed for each phase: age of the newest subgoal at the ticks, share of ticks
at which it had expired, and the worst gap between two ticks.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.fleet_robots import percentiles
from benchmarks.lossy_link import LossyLink, Quality, run_in, two_namespaces
from benchmarks.report import write_report
from dualsys.bridge.process_life import end_session
from dualsys.bridge.ray_cluster import OBJECT_STORE_BYTES, SETTINGS
from dualsys.settings import CoreConfig
from dualsys.telemetry import read_log

PLANNER, ROBOT = "10.77.0.2", "10.77.0.1"
EXPIRE_S = CoreConfig().subgoal.expire_s
"""Age at which the run's staleness policy has the actor go on without it."""
_PORT = 6379
_STARTS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFaultsConfig:
    """A run whose planner is behind a link that gets worse, is cut, and comes back."""

    task: str = "humanoid/touch"
    """Task to run."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    seconds: float = 15.0
    """Of each phase but the cut; the last is at least twice as long as that."""
    cut_s: float = 5.0
    """How long the link is cut."""
    delay_s: float = 0.05
    """Of a packet, one way, in the phases that are late."""
    loss: float = 0.05
    """Share of the packets that get lost, each way, in the phases that are lossy."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/link_faults.json`; a plot is written beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time with one quality of the link, on the machine's monotonic clock."""

    name: str
    quality: Quality
    begin_s: float
    end_s: float


def main(config: LinkFaultsConfig) -> None:
    """Run, print, write."""
    try:
        phases, lines = run(config)
    except OSError as error:
        raise SystemExit(f"no namespaces with a link between them on this machine (it takes root): {error}") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(error.cmd)}: {error.stderr}") from error
    figures = figures_of(phases, lines)
    Console().print(result_table(figures))
    target = write_report("link_faults", {"config": asdict(config) | {"json": None}, **figures}, config.json)
    draw(phases, lines, target.with_suffix(".png"))
    print(f"{target}, {target.with_suffix('.png').name}")


def run(config: LinkFaultsConfig) -> tuple[list[Phase], list[dict[str, Any]]]:
    """Phases, and the lines of the run's log."""
    names = (f"planner-{os.getpid()}", f"robot-{os.getpid()}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="link.", dir="/tmp")))
        link = stack.enter_context(two_namespaces(names, (PLANNER, ROBOT)))
        ray = ["--num-cpus=1", f"--object-store-memory={OBJECT_STORE_BYTES}", "--block"]
        head = ["--head", f"--port={_PORT}", f"--node-ip-address={PLANNER}", "--labels=role=planner"]
        head += [f"--temp-dir={folder}", "--include-dashboard=false"]
        stack.enter_context(_process(names[0], _ray_start(*head, *ray), folder / "planner.out", until="Ray runtime"))
        joined = _ray_start(f"--address={PLANNER}:{_PORT}", f"--node-ip-address={ROBOT}", *ray)
        stack.enter_context(_process(names[1], joined, folder / "robot.out", until="Ray runtime"))
        log = folder / "run.jsonl"
        length_s = 3 * config.seconds + config.cut_s + max(config.seconds, 2 * config.cut_s) + 2
        command = [sys.executable, "-m", "dualsys", "run", config.task, "--checkpoint", config.checkpoint]
        command += ["--mode", "processes", "--seconds", str(length_s), "--log", str(log)]
        command += ["--ray-address", f"{PLANNER}:{_PORT}", "--planner-node", "role=planner"]
        running = stack.enter_context(_process(names[1], command, folder / "run.out", until="s  tick"))
        phases = _go_through(config, link)
        if running.wait(60) != 0:
            raise SystemExit(f"the run failed:\n{(folder / 'run.out').read_text()[-2000:]}")
        return phases, list(read_log(log))


def _ray_start(*options: str) -> list[str]:
    return [sys.executable, "-m", "ray.scripts.scripts", "start", *options]


@contextmanager
def _process(namespace: str, command: list[str], output: Path, *, until: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a namespace, once it has said something; ended with all that it started."""
    environment = {**SETTINGS, "OMP_NUM_THREADS": "1", **os.environ}
    with output.open("wb") as file:
        process = subprocess.Popen(
            run_in(namespace, command), stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        deadline_s = time.monotonic() + _STARTS_WITHIN_S
        while until not in output.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"{' '.join(command)} did not start:\n{output.read_text()[-3000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end_session(process.pid)


def _go_through(config: LinkFaultsConfig, link: LossyLink) -> list[Phase]:
    late = Quality(delay_s=config.delay_s)
    bad = Quality(delay_s=config.delay_s, loss=config.loss)
    story = [
        ("good", Quality(), config.seconds),
        (f"{1e3 * config.delay_s:g} ms late", late, config.seconds),
        (f"late, {100 * config.loss:g} % lost", bad, config.seconds),
        (f"cut for {config.cut_s:g} s", Quality(cut=True), config.cut_s),
        # TCP tries again at longer and longer intervals: after a cut of 5 s the next try may be 6 s away.
        ("late and lossy again", bad, max(config.seconds, 2 * config.cut_s)),
    ]
    phases = []
    for name, quality, seconds in story:
        link.quality, begin_s = quality, time.monotonic()
        time.sleep(seconds)
        phases.append(Phase(name=name, quality=quality, begin_s=begin_s, end_s=time.monotonic()))
    link.quality = Quality()
    return phases


def figures_of(phases: list[Phase], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each phase, and of what came after the cut."""
    commands = [line for line in lines if line["kind"] == "command"]
    subgoals = [line for line in lines if line["kind"] == "subgoal"]
    rows = []
    for phase in phases:
        found = [line for line in commands if phase.begin_s <= line["stamp_s"] < phase.end_s]
        ages = newest_ages_s([line["stamp_s"] for line in found], subgoals)
        made = [line for line in subgoals if phase.begin_s <= line["emitted_stamp_s"] < phase.end_s]
        gaps = np.diff([line["stamp_s"] for line in found])
        rows.append(
            {
                "phase": phase.name,
                "ticks": len(found),
                "worst_gap_s": float(gaps.max()) if gaps.size else None,
                "age_s": percentiles(ages),
                "expired": sum(age_s > EXPIRE_S for age_s in ages) / max(len(ages), 1),
                "subgoals_per_s": len(made) / (phase.end_s - phase.begin_s),
                "epochs": sorted({line["epoch"] for line in made}),
            }
        )
    restored_s = next(phase.end_s for phase in phases if phase.quality.cut)
    back = [line["emitted_stamp_s"] - restored_s for line in subgoals if line["emitted_stamp_s"] > restored_s]
    return {"phases": rows, "back_after_s": min(back, default=None)}


def newest_ages_s(stamps_s: list[float], subgoals: list[dict[str, Any]]) -> list[float]:
    """Age, at each time, of the newest subgoal that was there; times before the first are left out."""
    emitted_s = [line["emitted_stamp_s"] for line in subgoals]
    newest = np.searchsorted(emitted_s, stamps_s, side="right") - 1
    return [
        stamp_s - subgoals[index]["observation_stamp_s"]
        for stamp_s, index in zip(stamps_s, newest.tolist(), strict=True)
        if index >= 0
    ]


def result_table(figures: dict[str, Any]) -> Table:
    """A row for each phase."""
    back_s = figures["back_after_s"]
    told = "no subgoal came after the cut" if back_s is None else f"first subgoal {back_s:.1f} s after the cut"
    table = Table(title="planner behind a link", caption=told)
    for name in ("link", "age p50", "p99", "max", "expired", "subgoals/s", "ticks", "worst gap", "epoch"):
        table.add_column(name, justify="left" if name == "link" else "right")
    for row in figures["phases"]:
        ages = [row["age_s"][name] for name in ("p50", "p99", "max")]
        table.add_row(
            row["phase"],
            *("-" if age is None else f"{1e3 * age:.0f} ms" for age in ages),
            f"{100 * row['expired']:.0f} %",
            f"{row['subgoals_per_s']:.1f}",
            str(row["ticks"]),
            "-" if row["worst_gap_s"] is None else f"{1e3 * row['worst_gap_s']:.1f} ms",
            ", ".join(map(str, row["epochs"])) or "-",
        )
    return table


def draw(phases: list[Phase], lines: list[dict[str, Any]], path: Path) -> None:
    """Age of the newest subgoal over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    origin_s = phases[0].begin_s
    subgoals = [line for line in lines if line["kind"] == "subgoal"]
    first_s = max(origin_s, min((line["emitted_stamp_s"] for line in subgoals), default=origin_s))
    stamps_s = [line["stamp_s"] for line in lines if line["kind"] == "command" and line["stamp_s"] >= first_s]
    ages = newest_ages_s(stamps_s, subgoals)
    axes.plot(np.array(stamps_s) - origin_s, ages, linewidth=0.8, color="#4477aa")
    axes.axhline(EXPIRE_S, linestyle=":", color="#999999")
    for phase in phases:
        begin_s, end_s = phase.begin_s - origin_s, phase.end_s - origin_s
        axes.axvspan(begin_s, end_s, color="#cc6677", alpha=0.3 if phase.quality.cut else 4 * phase.quality.loss)
        axes.text(
            (begin_s + end_s) / 2,
            0.98,
            phase.name,
            ha="center",
            va="top",
            fontsize=7,
            transform=axes.get_xaxis_transform(),
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("age of the newest subgoal (s)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(LinkFaultsConfig, description=__doc__))
