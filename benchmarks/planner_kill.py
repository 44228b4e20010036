"""What does the arm notice when the planner's process is killed?

    python -m benchmarks.planner_kill

Runs `dualsys run --mode processes` several times; half-way the planner gets SIGKILL. Printed for each run: ticks missed
in the ten seconds before and after, whether every command kept the arm's limits, and how long until new subgoals came.
What one would have without the separation stands in the last column: the ticks that a loop which waits for its planner
would have missed in the gap.
"""

import os
import shutil
import signal
import tempfile
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.app.run import make_environment, system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_live import LiveTable
from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec
from dualsys.telemetry import read_log

WINDOW_S = 10.0
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerKillConfig:
    """Kill the planner half-way through a run in processes, several times."""

    task: str = "humanoid/touch"
    """Task to run."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    seconds: float = 60.0
    """Length of each run."""
    repetitions: int = 5
    """Runs."""
    launcher: Literal["ray", "subprocess"] = "ray"
    """Who starts the planner again."""
    standbys: int = 0
    """Further planners, loaded and waiting."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/planner_kill.json`."""


@dataclass
class Killer:
    """Kills the planner half-way, and keeps the tick's counts over time."""

    at_s: float
    """Seconds of ticking before the kill."""
    control_hz: float
    table: LiveTable
    killed_s: float | None = None
    """When, on the machine's monotonic clock."""
    counts: list[tuple[float, int]] = field(default_factory=list)
    """Time and misses so far."""

    def look(self, progress: Progress) -> None:
        """Note what the tick says; kill when it is time."""
        self.table.show(progress)
        tick, planner = progress.statuses.get("tick", {}), progress.statuses.get("planner", {})
        if not tick.get("running"):
            return
        self.counts.append((monotonic(), tick["misses"]))
        if self.killed_s is None and tick["count"] >= self.at_s * self.control_hz:
            self.killed_s = monotonic()
            os.kill(planner["pid"], signal.SIGKILL)

    def misses(self, begin_s: float, end_s: float) -> int:
        """Ticks missed between two times, to the quarter of a second in which the tick reports."""
        return self._misses_by(end_s) - self._misses_by(begin_s)

    def _misses_by(self, time_s: float) -> int:
        return max((misses for seen_s, misses in self.counts if seen_s <= time_s), default=0)


def main(config: PlannerKillConfig) -> None:
    """Run, print, write."""
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    runs = [_run_once(config, number) for number in range(config.repetitions)]
    medians = {key: median(run[key] for run in runs) for key in ("misses_before", "misses_after", "recovery_s")}
    verdict = {
        "misses_after_at_most_before_plus_2": medians["misses_after"] <= medians["misses_before"] + 2,
        "arm_always_within_limits": all(run["within_limits"] for run in runs),
        "new_subgoals_in_every_run": all(run["subgoals_after"] > 0 for run in runs),
    }
    _print(runs, medians, verdict)
    settings = asdict(config) | {"json": None}
    figures = {"config": settings, "controller_weights": weights, "runs": runs, "median": medians, "verdict": verdict}
    print(write_report("planner_kill", figures, config.json))


def _run_once(config: PlannerKillConfig, number: int) -> dict[str, Any]:
    options = RunConfig(
        task=config.task,
        mode="processes",
        seconds=config.seconds,
        checkpoint=config.checkpoint,
        launcher=config.launcher,
        planner_standbys=config.standbys,
        seed=8000 + 100 * number,
    )
    environment = make_environment(options)
    embodiment = environment.embodiment
    environment.close()
    checkpoint = Checkpoint.open(config.checkpoint, embodiment=embodiment)
    logs = Path(tempfile.mkdtemp(prefix="planner-kill."))
    try:
        with LiveTable(config.seconds) as table:
            killer = Killer(at_s=config.seconds / 2, control_hz=options.control_hz, table=table)
            result = run_processes(
                system_config(options, checkpoint, log=logs),
                run_id=f"kill-{os.getpid()}",
                launcher=config.launcher,
                on_progress=killer.look,
            )
        return _figures(result.report, killer, logs, embodiment, options.control_hz)
    finally:
        shutil.rmtree(logs)


def _figures(
    report: dict[str, Any], killer: Killer, logs: Path, embodiment: EmbodimentSpec, control_hz: float
) -> dict[str, Any]:
    killed_s = killer.killed_s
    if killed_s is None:
        raise SystemExit("the run was over before the planner was killed: give it more --seconds")
    reborn = [line["emitted_stamp_s"] for line in _lines(logs / "planner.2.jsonl")]
    # Without a new subgoal all that is known is that it takes longer than the rest of the run.
    recovery_s = (min(reborn) if reborn else killer.counts[-1][0]) - killed_s
    return {
        "misses_before": killer.misses(killed_s - WINDOW_S, killed_s),
        "misses_after": killer.misses(killed_s, killed_s + WINDOW_S),
        "recovery_s": recovery_s,
        "subgoals_after": len(reborn),
        "ticks_a_waiting_loop_would_miss": int(recovery_s * control_hz),
        "restarts": report["planner"]["restarts"],
        "longest_subgoal_age_s": report["planner"]["age_s"]["max"],
        **_check_limits(_commands(logs), embodiment, 1.0 / control_hz),
        "success": report["success"],
        "episodes": report["episodes"],
        "tick": report["tick"],
        "planner_hz": report["planner"]["hz"],
        "planner_age_s": report["planner"]["age_s"],
        "actor_hz": report["actor"]["hz"],
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    return read_log(path) if path.exists() else []


def _commands(logs: Path) -> list[dict[str, Any]]:
    return [line for line in read_log(logs / "commands.jsonl") if line["kind"] == "command"]


def _check_limits(commands: list[dict[str, Any]], embodiment: EmbodimentSpec, dt_s: float) -> dict[str, Any]:
    """Whether every command kept the limits of position, velocity and acceleration; an episode begins at rest."""
    targets = np.array([command["target"] for command in commands])
    started = np.array([command["source"] == "start" for command in commands])
    begins = [0, *(np.flatnonzero(started[1:] & ~started[:-1]) + 1), len(targets)]
    position = np.all((targets >= embodiment.lower - _ROUNDING) & (targets <= embodiment.upper + _ROUNDING))
    speed = acceleration = 0.0
    for begin, end in pairwise(begins):
        velocities = np.diff(targets[begin:end], axis=0) / dt_s
        changes = np.diff(velocities, axis=0, prepend=np.zeros((1, targets.shape[1]))) / dt_s
        speed = max(speed, float(np.max(np.abs(velocities) / embodiment.max_velocity, initial=0.0)))
        acceleration = max(acceleration, float(np.max(np.abs(changes) / embodiment.max_acceleration, initial=0.0)))
    return {
        "within_limits": bool(position and max(speed, acceleration) <= 1 + _ROUNDING),
        "fastest_share_of_velocity_limit": speed,
        "largest_share_of_acceleration_limit": acceleration,
    }


def _print(runs: list[dict[str, Any]], medians: dict[str, float], verdict: dict[str, bool]) -> None:
    table = Table(title="planner killed half-way")
    columns = ("run", "missed 10 s before", "missed 10 s after", "limits kept", "new subgoals", "recovery", "waiting")
    for name in columns:
        table.add_column(name, justify="right")
    for number, run in enumerate(runs, start=1):
        table.add_row(
            str(number),
            str(run["misses_before"]),
            str(run["misses_after"]),
            "yes" if run["within_limits"] else "NO",
            str(run["subgoals_after"]),
            f"{run['recovery_s']:.2f} s",
            f"{run['ticks_a_waiting_loop_would_miss']} missed",
        )
    before, after = f"{medians['misses_before']:g}", f"{medians['misses_after']:g}"
    table.add_row("median", before, after, "", "", f"{medians['recovery_s']:.2f} s", "", style="bold")
    console = Console()
    console.print(table)
    for name, holds in verdict.items():
        console.print(f"{name.replace('_', ' ')}: {'yes' if holds else 'NO'}")


if __name__ == "__main__":
    main(tyro.cli(PlannerKillConfig, description=__doc__))
