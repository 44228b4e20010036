"""Episodes of any suite's expert, as `benchmarks.expert_success --suite` counts them."""

import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dualsys import registry, sim_envs
from dualsys.app.intervals import wilson_interval
from dualsys.app.workplace import shown_tasks
from dualsys.protocols import Environment, Expert
from dualsys.sim_envs.making import load_suite


def play_suite(suite: str, seeds: range) -> dict[str, Any]:
    """Every task of a suite that is demonstrated, from the same seeds; prints a table."""
    console = Console()
    columns = ("task", "success", "95 %", "time to success s (p5 / p50 / p95)", "CPU ms a step")
    table = Table(*columns, title=f"experts of {suite}, seeds {seeds.start} to {seeds.stop - 1}")
    tasks = {}
    for task in track(shown_tasks(load_suite(suite).tasks()), description=suite, console=Console(stderr=True)):
        tasks[task] = result = play_task(suite, task, seeds)
        low, high = result["ci95"]
        times = " / ".join(f"{result['time_s'][name]:.2f}" for name in ("p5", "p50", "p95"))
        count = f"{result['successes']}/{result['episodes']}"
        table.add_row(task, count, f"{low:.3f} .. {high:.3f}", times, f"{result['cpu_ms_per_step']:.2f}")
    successes = sum(result["successes"] for result in tasks.values())
    episodes = len(seeds) * len(tasks)
    low, high = wilson_interval(successes, episodes)
    table.add_section()
    table.add_row("all", f"{successes}/{episodes}", f"{low:.3f} .. {high:.3f}", "", "")
    console.print(table)
    return {"suite": suite, "successes": successes, "episodes": episodes, "ci95": [low, high], "tasks": tasks}


def play_task(suite: str, task: str, seeds: range) -> dict[str, Any]:
    """The expert as it is, on one task: counts, interval, times to success, cost of a step."""
    environment = sim_envs.make(task, images="on-demand")
    expert: Expert = registry.load("experts", suite)(environment)
    times_s, failed_seeds, steps, started_s = [], [], 0, time.process_time()
    for seed in seeds:
        taken = _episode(environment, expert, seed)
        steps += taken
        if environment.success:
            times_s.append(taken * environment.control_dt_s)
        else:
            failed_seeds.append(seed)
    cpu_s = time.process_time() - started_s
    environment.close()
    percentiles = np.percentile(times_s or [np.nan], (5, 50, 95)).tolist()
    return {
        "episodes": len(seeds),
        "successes": len(times_s),
        "ci95": wilson_interval(len(times_s), len(seeds)),
        "time_s": dict(zip(("p5", "p50", "p95"), percentiles, strict=True)),
        "cpu_ms_per_step": 1000 * cpu_s / steps,
        "failed_seeds": failed_seeds,
    }


def _episode(environment: Environment, expert: Expert, seed: int) -> int:
    """Steps until it is over."""
    environment.reset(seed=seed)
    expert.reset()
    steps, over = 0, False
    while not over:
        *_, terminated, truncated, _ = environment.step(expert.act())
        steps, over = steps + 1, bool(terminated or truncated)
    return steps
