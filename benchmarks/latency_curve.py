"""How does success fall as the planner takes longer?

    python -m benchmarks.latency_curve --episodes 100 --seed 10000

The shipped controller on the virtual clock, its planner 0 to 500 ms late, on the same seeds at every point, and beside
it the frozen world that most published policies are evaluated in: there the world waits for both models, and nothing of
this can be seen. `dualsys eval --sweep` does the same for any controller, suite and option of the timing.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from benchmarks.report import RESULTS, write_report
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import NOT_DECIDING, EvalConfig
from dualsys.app.evaluation.sweep import Sweep, SweepPoint, point_file
from dualsys.app.evaluation.sweep_report import draw_sweep, sweep_report, sweep_tables
from dualsys.files import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCurveConfig:
    """Success of a controller against a delay, with the frozen world beside it."""

    tasks: tuple[str, ...] = ("humanoid/touch", "humanoid/pick")
    """What is to be done."""
    checkpoint: str = "humanoid-table"
    """Controller: shipped name or folder."""
    sweep: str = "planner-latency-s=0,0.1,0.2,0.3,0.4,0.5"
    """What is late, as `dualsys eval --sweep` takes it."""
    episodes: int = 100
    """Of each task at each point."""
    seed: int = 8000
    """Of the first; 10000 and above for claims."""
    workers: int = 1
    """Processes."""
    reports: Path | None = None
    """Folder for each point's own result, as `dualsys eval --json` writes it; those of the same options that are there
    already, made by any number of workers, are not made again."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/latency_curve.json`; the plot lies beside it."""


def main(config: LatencyCurveConfig) -> None:
    """Evaluate, print, write, draw."""
    target = config.json or RESULTS / "latency_curve.json"
    curves = [curve_of(config, task) for task in config.tasks]
    report = curves[0] | {"tasks": [task for curve in curves for task in curve["tasks"]]}
    Console().print(*sweep_tables(report), sep="\n")
    settings = asdict(config) | {"checkpoint": Path(config.checkpoint).name}
    del settings["json"], settings["reports"]
    del report["versions"]  # stand in every report
    print(write_report("latency_curve", {**report, "config": settings}, target))
    draw_sweep(report, target.with_suffix(".png"))


def curve_of(config: LatencyCurveConfig, task: str) -> dict[str, Any]:
    """The sweep's summary for one task, with the seeds that failed at each point."""
    asked = EvalConfig(
        suite_or_task=task,
        checkpoint=config.checkpoint,
        episodes=config.episodes,
        seed=config.seed,
        workers=config.workers,
        sweep=config.sweep,
        sweep_frozen_world=True,
    )
    sweep = Sweep.of(asked)
    beside = None if config.reports is None else config.reports / f"{task.replace('/', '-')}.json"
    reports = [_report_of(point, None if beside is None else point_file(beside, point)) for point in sweep.points]
    summary = sweep_report(asked, sweep, reports)
    for point, report in zip(summary["tasks"][0]["points"], reports, strict=True):
        episodes = report["tasks"][0]["per_episode"]
        point["failed_seeds"] = [episode["seed"] for episode in episodes if not episode["success"]]
    return summary


def _report_of(point: SweepPoint, file: Path | None) -> dict[str, Any]:
    """A point's own result, made now unless it is there."""
    if file is not None and file.is_file():
        known: dict[str, Any] = json.loads(file.read_text())
        deciding = {name: value for name, value in known["config"].items() if name not in NOT_DECIDING}
        if deciding == json.loads(json.dumps(point.config.plain())):
            return known
    report = evaluate(point.config)
    if file is not None:
        write_json(file, report)
    return report


if __name__ == "__main__":
    main(tyro.cli(LatencyCurveConfig, description=__doc__))
