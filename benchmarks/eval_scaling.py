"""How many episodes a minute do more workers evaluate?

    python -m benchmarks.eval_scaling --workers 1 2 --launchers subprocess ray

The same evaluation by each number of workers, started by each launcher, in turns. The rate is that of the workers at
work, from the end of the first episode on; what it took until then, mostly starting, is told beside it. Whether all
gave the same result, to the byte, is the verdict.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import exit_unless, write_report
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import EvalConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalScalingConfig:
    """Episodes a minute by number of workers."""

    task: str = "humanoid/touch"
    """What is evaluated."""
    checkpoint: str = "humanoid-table"
    """Controller: shipped name or folder."""
    planner: str = ""
    """Registered planner instead of the checkpoint's."""
    actor: str = ""
    """Registered actor instead of the checkpoint's."""
    episodes: int = 24
    """Of each."""
    seed: int = 8000
    """Of the first."""
    rounds: int = 1
    """How often each is timed; medians count."""
    workers: tuple[int, ...] = (1, 2)
    """Numbers of workers."""
    launchers: tuple[Literal["subprocess", "ray"], ...] = ("subprocess", "ray")
    """Who starts them."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/eval_scaling.json`."""


def main(config: EvalScalingConfig) -> None:
    """Evaluate, print, write; the exit status is 1 where results differ."""
    asked = EvalConfig(
        suite_or_task=config.task,
        checkpoint=config.checkpoint,
        planner=config.planner,
        actor=config.actor,
        episodes=config.episodes,
        seed=config.seed,
    )
    ways = [replace(asked, launcher=way, workers=count) for way in config.launchers for count in config.workers]
    results, rounds = set[str](), list[list[dict[str, float]]]()
    for _ in range(config.rounds):
        rounds.append([])
        for way in ways:
            result, figures = timed(way)
            results.add(result)
            rounds[-1].append(figures)
            print(f"{way.launcher}, {way.workers}: {figures}", flush=True)
    rows = [
        {"launcher": way.launcher, "workers": way.workers, **medians([each[index] for each in rounds])}
        for index, way in enumerate(ways)
    ]
    add_ratios(rows)
    Console().print(result_table(config, rows))
    verdict = {"all results are the same": len(results) == 1}
    settings = asdict(config) | {"json": None, "checkpoint": Path(config.checkpoint).name}
    print(write_report("eval_scaling", {"config": settings, "ways": rows, "verdict": verdict}, config.json))
    exit_unless(verdict)


def timed(config: EvalConfig) -> tuple[str, dict[str, float]]:
    """What came out, without its timings, and how fast."""
    report = evaluate(config)
    timings = report.pop("timings")
    at_work_s = timings["wall_s"] - timings["first_episode_after_s"]
    figures = {
        "until_first_s": timings["first_episode_after_s"],
        "episodes_a_minute": 60 * (config.episodes - 1) / at_work_s,
        "episodes_a_minute_with_start": timings["episodes_per_minute"],
        "load": os.getloadavg()[0],
    }
    return json.dumps(report, sort_keys=True), figures


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """How many times the rate of one worker of the same launcher; None where that was not timed."""
    alone = {row["launcher"]: row["episodes_a_minute"] for row in rows if row["workers"] == 1}
    for row in rows:
        one = alone.get(row["launcher"])
        row["times_one"] = None if one is None else row["episodes_a_minute"] / one


def result_table(config: EvalScalingConfig, rows: list[dict[str, Any]]) -> Table:
    """A line for each way."""
    names = ("launcher", "workers", "episodes a minute", "times one", "with start", "first after", "load")
    table = Table(title=f"{config.task}, {config.episodes} episodes")
    for name in names:
        table.add_column(name, justify="left" if name == "launcher" else "right")
    for row in rows:
        table.add_row(
            row["launcher"],
            str(row["workers"]),
            f"{row['episodes_a_minute']:.1f}",
            "" if row["times_one"] is None else f"{row['times_one']:.2f}",
            f"{row['episodes_a_minute_with_start']:.1f}",
            f"{row['until_first_s']:.1f} s",
            f"{row['load']:.1f}",
        )
    return table


if __name__ == "__main__":
    main(tyro.cli(EvalScalingConfig, description=__doc__))
