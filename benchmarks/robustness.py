"""What do perturbations cost a controller? The same seeds with and without, with the interval of the difference.

    python -m benchmarks.robustness --episodes 50 --seed 10000 --json mine.json

Seeds are played in rounds, each by every condition, so that what there is when `--minutes` are over is paired; with
`--resume` a later run goes on from there.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.paired_success import compare
from benchmarks.report import RESULTS, write_report
from dualsys.app.evaluate import evaluate_all
from dualsys.app.evaluation.config import EvalConfig
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError
from dualsys.sim_envs.perturbations import LEVELS, PRESETS, described, perturbations_of

NONE = "none"
"""The condition that all are compared with."""
Outcomes = dict[str, dict[str, dict[int, bool]]]
"""Success by task, condition and seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessConfig:
    """Success of a controller under each of the named perturbations."""

    tasks: tuple[str, ...] = ("humanoid/touch", "humanoid/pick")
    """What is to be done."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    presets: tuple[str, ...] = tuple(name for name in PRESETS if name != NONE)
    """Perturbations, each for itself."""
    levels: tuple[str, ...] = LEVELS
    """Levels of each."""
    episodes: int = 50
    """Of each task and condition."""
    seed: int = 10000
    """Seed of the first; 10000 and above for claims, 8000 to 9999 for development."""
    episodes_a_round: int = 5
    """Seeds that are played by all conditions before the next ones are."""
    minutes: float = float("inf")
    """No round begins after this time."""
    workers: int = 1
    """Processes."""
    resume: bool = False
    """Go on with the rounds that the file holds, of the same weights, strengths and timing."""
    json: Path | None = None
    """File for the figures, written after each round; default: results/robustness.json."""


def main(config: RobustnessConfig) -> None:
    """Play, print the table, write the file."""
    asked = [NONE, *(f"{preset}:{level}" for preset in config.presets for level in config.levels)]
    strengths = {name: described(perturbations_of([name])) for name in asked}  # refuses a name before the work
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    same = {"checkpoint": Path(config.checkpoint).name, "weights": weights, "perturbations": strengths}
    outcomes: Outcomes = {task: {name: {} for name in asked} for task in config.tasks}
    if config.resume:
        outcomes = resumed(config.json or RESULTS / "robustness.json", outcomes, same)
    figures: list[dict[str, Any]] = []
    for played in _rounds(config, asked, outcomes):
        figures = [row for task in config.tasks for row in compared(task, played[task])]
        written = write_report("robustness", {**same, "figures": figures, "outcomes": played}, config.json)
    Console().print(result_table(figures))
    print(written)


def resumed(path: Path, outcomes: Outcomes, same: dict[str, Any]) -> Outcomes:
    """What a file holds of these tasks and conditions. Raises `ConfigError` where it is of something else."""
    report = json.loads(path.read_text())
    if differing := [name for name, value in same.items() if name != "perturbations" and report.get(name) != value]:
        raise ConfigError(f"{path} differs in {', '.join(differing)}; give another --json")
    for task, by_condition in outcomes.items():
        for name, own in by_condition.items():
            if report["perturbations"].get(name, same["perturbations"][name]) != same["perturbations"][name]:
                raise ConfigError(f"{path} has another strength of {name}; give another --json")
            own |= {int(seed): won for seed, won in report["outcomes"].get(task, {}).get(name, {}).items()}
    return outcomes


def _rounds(config: RobustnessConfig, asked: list[str], outcomes: Outcomes) -> Iterator[Outcomes]:
    """All outcomes so far, after each round; a round that is there already, by every condition, is not played."""
    started_s, last = time.monotonic(), config.seed + config.episodes
    for first in range(config.seed, last, config.episodes_a_round):
        if first > config.seed and time.monotonic() - started_s > 60 * config.minutes:
            return
        count = min(config.episodes_a_round, last - first)
        for task in config.tasks:
            seeds = set(range(first, first + count))
            if all(seeds <= own.keys() for own in outcomes[task].values()):
                continue
            reports = evaluate_all([_evaluation(config, task, name, first, count) for name in asked])
            for name, report in zip(asked, reports, strict=True):
                (played,) = report["tasks"]
                outcomes[task][name] |= {episode["seed"]: episode["success"] for episode in played["per_episode"]}
        yield outcomes


def _evaluation(config: RobustnessConfig, task: str, name: str, seed: int, count: int) -> EvalConfig:
    return EvalConfig(
        suite_or_task=task,
        checkpoint=config.checkpoint,
        episodes=count,
        seed=seed,
        workers=config.workers,
        perturb=(name,),
    )


def compared(task: str, by_condition: dict[str, dict[int, bool]]) -> list[dict[str, Any]]:
    """A row for each condition: its rate, and the difference to none with its interval."""
    plain = by_condition[NONE]
    return [{"task": task, "perturbation": name, **compare(plain, own)} for name, own in by_condition.items()]


def result_table(figures: list[dict[str, Any]]) -> Table:
    """A line for each task and condition."""
    table = Table(title="success with a perturbation, and what it costs on the same seeds")
    for name in ("task", "perturbation", "success", "95 % interval", "difference, points", "95 % interval "):
        table.add_column(name, justify="left" if name in ("task", "perturbation") else "right")
    for row in figures:
        own, (low, high) = row["b"], row["difference_ci95"]
        is_plain = row["perturbation"] == NONE
        table.add_row(
            row["task"],
            row["perturbation"],
            f"{own['successes']}/{row['episodes']}",
            f"{100 * own['ci95'][0]:.0f} to {100 * own['ci95'][1]:.0f} %",
            "" if is_plain else f"{100 * row['difference']:+.0f}",
            "" if is_plain else f"{100 * low:+.0f} to {100 * high:+.0f}",
            end_section=row is figures[-1] or figures[figures.index(row) + 1]["task"] != row["task"],
        )
    return table


if __name__ == "__main__":
    main(tyro.cli(RobustnessConfig, description=__doc__))
