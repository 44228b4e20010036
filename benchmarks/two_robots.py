"""Does one controller drive two robots? Demonstrations of both, one training, an evaluation of each.

    pip install ./examples/own_task      # the second robot: arm/reach
    python -m benchmarks.two_robots --workers 16

Runs the commands that one would type, and prints each. What lies in --out is gone on with: a stopped run, too. The
defaults are what `docs/embodiments.md` quotes: minutes on a GPU.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys import registry
from dualsys.app.train_config import plain
from dualsys.app.training.progress import TrainingFolder
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError

TASKS = TOUCH, REACH = "humanoid/touch", "arm/reach"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoRobotsConfig:
    """One actor for a humanoid and an arm: success of each."""

    touches: int = 1000
    """Demonstrations of humanoid/touch."""
    reaches: int = 600
    """Demonstrations of arm/reach."""
    steps: int = 1200
    """Optimizer steps, of both together."""
    batch_size: int = 96
    """Frames a step."""
    checkpoint: str = "humanoid-table"
    """Whose planner is started from: shipped name or folder."""
    episodes: int = 100
    """Of each evaluation, at planner 5 Hz / 120 ms and actor 30 ms."""
    seed: int = 8000
    """Seed of the first of them; 10000 and above for claims."""
    workers: int = 2
    """Processes that record and evaluate. Training takes one."""
    out: Path = Path("outputs/two-robots")
    """Folder of the recordings, the controller and its evaluations."""
    json: Path | None = None
    """File for the figures; default: results/two_robots.json."""


def main(config: TwoRobotsConfig) -> None:
    """Record, train, evaluate, print, write. Raises `ConfigError` where the arm isn't installed."""
    if "arm" not in registry.names("environments"):
        raise ConfigError(f"{REACH}: there is no suite `arm` here; install it: pip install ./examples/own_task")
    asked = commands(config)
    for command in asked:
        run(command)
    rows = [figures(result_file(config, task)) for task in TASKS]
    Console().print(result_table(config, rows))
    told = {
        "config": plain(asdict(config)) | {"json": None},
        "commands": [f"dualsys {' '.join(command)}" for command in asked],
        "training": Checkpoint.open(config.out / "both").manifest.training,
        "rows": rows,
    }
    print(write_report("two_robots", told, config.json))


def commands(config: TwoRobotsConfig) -> list[list[str]]:
    """Words behind `dualsys`, in order."""
    touch, reach, both = (str(config.out / name) for name in ("touch", "reach", "both"))
    workers = ["--workers", str(config.workers)]
    goes_on = ["--resume"] if TrainingFolder(config.out / "both").state_file.is_file() else []
    sizes = ["--steps", str(config.steps), "--batch-size", str(config.batch_size)]
    which = ["--episodes", str(config.episodes), "--seed", str(config.seed), *workers, "--resume"]
    touches, reaches = (
        ["--episodes", str(count), *workers, "--resume", "--out", folder]
        for count, folder in ((config.touches, touch), (config.reaches, reach))
    )
    start = ["--init", config.checkpoint, "--init-parts", "planner"]
    return [
        ["demos", TOUCH, "--noise-rad", "0.015", "--tail-s", "0", *touches],
        ["demos", REACH, "--noise-rad", "0.02", *reaches],
        ["train", "--data", touch, reach, *start, *sizes, *goes_on, "--out", both],
        *(["eval", task, "--checkpoint", both, *which, "--json", str(result_file(config, task))] for task in TASKS),
    ]


def run(command: list[str]) -> None:
    """Show a command and run it. Raises `SystemExit` where it fails, with its status."""
    print(f"$ dualsys {' '.join(command)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "dualsys", *command], check=False).returncode
    if status:
        raise SystemExit(status)


def result_file(config: TwoRobotsConfig, task: str) -> Path:
    """Of a task's evaluation."""
    return config.out / f"{task.replace('/', '-')}.json"


def figures(path: Path) -> dict[str, Any]:
    """What an evaluation's file says of its task."""
    report = json.loads(path.read_text(encoding="utf-8"))
    (task,) = report["tasks"]
    return {key: task[key] for key in ("task", "episodes", "successes", "success", "ci95")} | {
        "controller_weights": report["controller_weights"]
    }


def result_table(config: TwoRobotsConfig, rows: list[dict[str, Any]]) -> Table:
    """A line for each robot's task."""
    shown = Table("task", "solved", "95 %", title=f"one controller, {config.steps} steps, seeds from {config.seed}")
    for row in rows:
        low, high = row["ci95"]
        shown.add_row(row["task"], f"{row['successes']}/{row['episodes']}", f"{100 * low:.1f} to {100 * high:.1f} %")
    return shown


if __name__ == "__main__":
    main(tyro.cli(TwoRobotsConfig, description=__doc__))
