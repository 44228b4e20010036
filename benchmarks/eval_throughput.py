"""How many episodes a minute does a core evaluate, ours beside the suites' own loops?

    python -m benchmarks.eval_throughput --suites metaworld aloha --seconds 10

An episode is one that nobody solves: a reset and all steps of the horizon, without the policy's own time. The stock
loops draw with the packages' own renderers, at the same size and as often. What comes from fewer cameras, fewer or
smaller pictures has no stock loop beside it and is listed apart. Medians over rounds, in which the loops take turns.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.eval_throughput_loops import HORIZONS, WAYS
from benchmarks.report import exit_unless, write_report

Suite = Literal["metaworld", "aloha", "libero"]
AT_LEAST = 2.0
"""Times the stock loop's episodes a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalThroughputConfig:
    """Episodes a minute of a core, ours beside the suites' own loops."""

    suites: tuple[Suite, ...] = ("metaworld", "aloha")
    """Which suites."""
    seconds: float = 10.0
    """CPU time of each loop in each round."""
    rounds: int = 3
    """How often all loops are timed."""
    lerobot_path: Path | None = None
    """A `site-packages` folder with LeRobot, looked into after our own; without it LeRobot's loop is left out."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/eval_throughput.json`."""


def main(config: EvalThroughputConfig) -> None:
    """Print the tables and write the JSON; the exit status is 1 where a claim isn't kept."""
    results = {suite: _compared(suite, _timed(config, suite)) for suite in config.suites}
    for suite, rows in results.items():
        Console().print(_table(suite, rows))
    verdict = {
        f"{suite}: {row['way']}": row["times_stock"] >= AT_LEAST
        for suite, rows in results.items()
        for row in rows
        if WAYS[suite][row["way"]].bar
    }
    figures = {"at_least": AT_LEAST, "horizons": HORIZONS, "rounds": config.rounds, "suites": results}
    path = write_report("eval_throughput", {**figures, "verdict": verdict}, config.json)
    Console().print(f"written to {path}")
    exit_unless(verdict)


def _timed(config: EvalThroughputConfig, suite: str) -> dict[str, list[dict[str, float]]]:
    """Every loop's figures, round by round."""
    ways = [way for way in WAYS[suite] if config.lerobot_path is not None or not way.startswith("LeRobot")]
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    turns = [way for _ in range(config.rounds) for way in ways]
    for way in track(turns, description=suite, console=Console(stderr=True)):
        figures[way].append(_in_its_own_process(suite, way, config))
    return figures


def _in_its_own_process(suite: str, way: str, config: EvalThroughputConfig) -> dict[str, float]:
    run = "import runpy, sys; sys.path += sys.argv[1:2]; del sys.argv[1]; "
    run += "runpy.run_module('benchmarks.eval_throughput_loops', run_name='__main__', alter_sys=True)"
    last = str(config.lerobot_path) if way.startswith("LeRobot") else ""
    command = [sys.executable, "-c", run, last, suite, way, str(config.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{suite}, {way}: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def _compared(suite: str, figures: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Medians by loop, and how many times the stock loop's episodes a minute they are."""
    rows = {way: _row(suite, way, rounds) for way, rounds in figures.items()}
    for way, row in rows.items():
        beside = WAYS[suite][way].beside
        row["beside"] = beside
        row["times_stock"] = row["episodes_a_minute"] / rows[beside]["episodes_a_minute"] if beside else None
    return list(rows.values())


def _row(suite: str, way: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    reset_ms = float(np.median([figures["reset_ms"] for figures in rounds]))
    step_ms = [figures["step_ms"] for figures in rounds]
    episode_ms = reset_ms + HORIZONS[suite] * float(np.median(step_ms))
    return {
        "way": way,
        "reset_ms": reset_ms,
        "step_ms": float(np.median(step_ms)),
        "step_ms_of_rounds": step_ms,
        "episodes_a_minute": 60_000 / episode_ms,
    }


def _table(suite: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("loop", "CPU ms a reset", "CPU ms a step", "episodes a minute", "beside", title=suite)
    for row in rows:
        beside = "" if row["beside"] is None else f"{row['times_stock']:.2f} x {row['beside']}"
        values = (f"{row['reset_ms']:.1f}", f"{row['step_ms']:.2f}", f"{row['episodes_a_minute']:.2f}")
        table.add_row(row["way"], *values, beside)
    return table


if __name__ == "__main__":
    main(tyro.cli(EvalThroughputConfig))
