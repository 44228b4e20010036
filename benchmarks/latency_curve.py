"""How does success fall as the planner takes longer?

    python -m benchmarks.latency_curve --episodes 100 --seed 10000
    python -m benchmarks.latency_curve --episodes 100 --seed 10000 --perturb change-of-mind:severe --json mine.json

The shipped controller on the virtual clock, its planner 0 to 500 ms late, on the same seeds at every point, and beside
it the frozen world that most published policies are evaluated in: there the world waits for both models, and nothing of
this can be seen. Scenes stand still until they are touched, so that a late planner costs time; where the words change
on the way (`--perturb`) it costs success. `dualsys eval --sweep` does the same for any controller, suite and option of
the timing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from benchmarks.report import RESULTS, write_report
from dualsys.app.evaluate import evaluate_all
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.journal import journal_of
from dualsys.app.evaluation.sweep import Sweep
from dualsys.app.evaluation.sweep_report import draw_sweep, sweep_report, sweep_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCurveConfig:
    """Success of a controller against a delay, with the frozen world beside it."""

    tasks: tuple[str, ...] = ("humanoid/touch", "humanoid/pick")
    """What is to be done."""
    checkpoint: str = "humanoid-table"
    """Controller: shipped name or folder."""
    sweep: str = "planner-latency-s=0,0.1,0.2,0.3,0.4,0.5"
    """What is late, as `dualsys eval --sweep` takes it."""
    perturb: tuple[str, ...] = ()
    """What goes otherwise, as `dualsys eval --perturb` takes it."""
    episodes: int = 100
    """Of each task at each point."""
    seed: int = 8000
    """Of the first; 10000 and above for claims."""
    workers: int = 1
    """Processes."""
    resume: bool = False
    """Go on with the episodes of a benchmark of the same options that was stopped."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/latency_curve.json`; the plot lies beside it."""


def main(config: LatencyCurveConfig) -> None:
    """Evaluate, print, write, draw."""
    target = config.json or RESULTS / "latency_curve.json"
    journal = journal_of(target)
    asked = [evaluation_of(config, task) for task in config.tasks]
    sweeps = [Sweep.of(each) for each in asked]
    points = [point.config for sweep in sweeps for point in sweep.points]
    reports = iter(evaluate_all(points, journal=journal, resume=config.resume))
    curves = [curve_of(each, sweep, reports) for each, sweep in zip(asked, sweeps, strict=True)]
    report = {"sweep": curves[0]["sweep"], "tasks": [task for curve in curves for task in curve["tasks"]]}
    Console().print(*sweep_tables(report), sep="\n")
    settings = {key: value for key, value in asdict(config).items() if key not in ("json", "resume")}
    settings["checkpoint"] = Path(config.checkpoint).name
    head = {"config": settings, "controller_weights": curves[0]["controller_weights"]}
    print(write_report("latency_curve", head | report, target))
    draw_sweep(report, target.with_suffix(".png"))
    journal.unlink()


def evaluation_of(config: LatencyCurveConfig, task: str) -> EvalConfig:
    """What `dualsys eval` would be asked for."""
    return EvalConfig(
        suite_or_task=task,
        checkpoint=config.checkpoint,
        episodes=config.episodes,
        seed=config.seed,
        workers=config.workers,
        sweep=config.sweep,
        perturb=config.perturb,
        sweep_frozen_world=True,
    )


def curve_of(asked: EvalConfig, sweep: Sweep, reports: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """The sweep's summary for one task, with the seeds that failed at each point."""
    own = [next(reports) for _ in sweep.points]
    summary = sweep_report(asked, sweep, own)
    for point, report in zip(summary["tasks"][0]["points"], own, strict=True):
        episodes = report["tasks"][0]["per_episode"]
        point["failed_seeds"] = [episode["seed"] for episode in episodes if not episode["success"]]
    return summary


if __name__ == "__main__":
    main(tyro.cli(LatencyCurveConfig, description=__doc__))
