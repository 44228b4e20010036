"""How often do the suites' experts succeed, and how long do they take?

    python -m benchmarks.expert_success --episodes 200
    python -m benchmarks.expert_success --task pick
    python -m benchmarks.expert_success --suite metaworld --episodes 10 --seed 0

Another suite than `humanoid` is played by its experts as they are. The humanoid suite's are played as they are, too,
and from odd starting postures, with the execution noise that demonstrations are recorded with, and, for touch, pick and
point, with an aim error in a random direction (what a learned policy will have).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from benchmarks.suite_experts import play_suite
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.intervals import wilson_interval
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import TASKS, TaskName
from dualsys.sim_envs.humanoid.table import HumanoidTable
from dualsys.sim_envs.options import EnvironmentOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSuccessConfig:
    """Success of scripted experts; of the humanoid suite's also with what makes it hard."""

    suite: str = "humanoid"
    """Whose tasks are played."""
    task: TaskName | None = None
    """The one task of the humanoid suite to play; all of them where none is named."""
    episodes: int = 200
    """Episodes of each condition."""
    seed: int = 8000
    """Seed of the first; 8000 to 9999 are development's, 10000 and above are for claims."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/expert_success.json` (`expert_success_TASK.json` for one task,
    `expert_success_SUITE.json` for another suite)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is made hard."""

    name: str
    tasks: tuple[TaskName, ...] = TASKS
    """Where it is played."""
    aim_error_m: float = 0.0
    posture_spread_rad: float = 0.1
    noise_rad: float = 0.0


CONDITIONS = (
    Condition(name="as it is"),
    Condition(name="1 cm of aim error", tasks=("pick", "point"), aim_error_m=0.01),
    Condition(name="2 cm of aim error", tasks=("touch", "point"), aim_error_m=0.02),
    Condition(name="3 cm of aim error", tasks=("touch",), aim_error_m=0.03),
    Condition(name="starts 0.2 rad around home", posture_spread_rad=0.2),
    Condition(name="execution noise 0.015 rad", noise_rad=0.015),
    Condition(name="execution noise 0.02 rad", noise_rad=0.02),
    Condition(name="execution noise 0.05 rad", tasks=("touch",), noise_rad=0.05),
)


class Misjudged:
    """The task with an error in where the blocks are."""

    def __init__(self, environment: HumanoidTable) -> None:
        self.model, self.control_dt_s = environment.model, environment.control_dt_s
        self.observe = environment.observe
        self.error_m: FloatArray = np.zeros(3)
        self._environment = environment

    def privileged(self) -> dict[str, Any]:
        """The environment's facts, every block shifted."""
        facts = self._environment.privileged()
        return {**facts, "blocks": {colour: place + self.error_m for colour, place in facts["blocks"].items()}}


def run_condition(environment: HumanoidTable, condition: Condition, seeds: range) -> dict[str, Any]:
    """Play the episodes; returns counts, interval and times."""
    task = Misjudged(environment)
    expert = TableExpert(task)
    noise = ExecutionNoise(condition.noise_rad, environment.control_dt_s)
    times_s, failed, steps, started_s = [], [], 0, time.process_time()
    for seed in seeds:
        environment.reset(seed=seed, options={"posture_spread_rad": condition.posture_spread_rad})
        angle = np.random.default_rng([seed, 77]).uniform(0, 2 * np.pi)
        task.error_m = condition.aim_error_m * np.array([np.cos(angle), np.sin(angle), 0.0])
        expert.reset()
        noise.reset(seed)
        ended = False
        while not ended:
            *_, terminated, truncated, info = environment.step(noise.push(expert.act()))
            ended, steps = terminated or truncated, steps + 1
        if environment.success:
            times_s.append(info["time_s"])
        else:
            why = info["failure"] or "out of time"
            failed.append({"seed": seed, "why": why, "goals_done": info["goals_done"], "time_s": info["time_s"]})
    successes, episodes = len(times_s), len(seeds)
    percentiles = np.percentile(times_s or [np.nan], (5, 50, 95)).tolist()
    return {
        "condition": condition.name,
        "episodes": episodes,
        "successes": successes,
        "success": successes / episodes,
        "ci95": wilson_interval(successes, episodes),
        "time_s": dict(zip(("p5", "p50", "p95"), percentiles, strict=True)),
        "cpu_ms_per_step": 1000 * (time.process_time() - started_s) / steps,
        "failed": failed,
    }


def run_task(task: TaskName, seeds: range) -> list[dict[str, Any]]:
    """Every condition of a task; prints its table."""
    environment = HumanoidTable(EnvironmentOptions(images="on-demand"), task=task)
    columns = ("condition", "success", "95 %", "time to success s (p5 / p50 / p95)", "CPU ms a step")
    table = Table(*columns, title=f"humanoid/{task}")
    results = []
    for condition in CONDITIONS:
        if task not in condition.tasks:
            continue
        result = run_condition(environment, condition, seeds)
        results.append(result)
        low, high = result["ci95"]
        times = " / ".join(f"{result['time_s'][name]:.2f}" for name in ("p5", "p50", "p95"))
        count = f"{result['successes']}/{result['episodes']}"
        table.add_row(condition.name, count, f"{low:.3f} .. {high:.3f}", times, f"{result['cpu_ms_per_step']:.2f}")
    environment.close()
    Console().print(table)
    return results


def main(config: ExpertSuccessConfig) -> None:
    """Print a table for each task and write the JSON."""
    seeds = range(config.seed, config.seed + config.episodes)
    if config.suite != "humanoid":
        played = play_suite(config.suite, seeds)
        path = write_report(f"expert_success_{config.suite}", {"seed": config.seed, **played}, config.json)
        Console().print(f"written to {path}")
        return
    results = {f"humanoid/{task}": run_task(task, seeds) for task in ((config.task,) if config.task else TASKS)}
    name = f"expert_success_{config.task}" if config.task else "expert_success"
    path = write_report(name, {"seed": config.seed, "tasks": results}, config.json)
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main(tyro.cli(ExpertSuccessConfig))
