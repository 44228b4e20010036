"""Is one controller better than another? Both on the same seeds, with the interval of the difference.

    python -m benchmarks.paired_success humanoid/pick outputs/before outputs/after --episodes 200 --seed 10000

The same seed is the same scene, words and noise, so episodes come in pairs, and only those that one of the two alone
solves tell them apart. The interval is Newcombe's for paired proportions (1998, method 10), p McNemar's, exact.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import NOT_DECIDING, EvalConfig
from dualsys.app.intervals import Pairs, mcnemar_p, paired_difference_interval, wilson_interval
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError

FREE = ("suite_or_task", "checkpoint", "planner", "actor", *NOT_DECIDING)
"""Options of `dualsys eval` in which two evaluations of a pair may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSuccessConfig:
    """Success of two controllers on one task and the same seeds."""

    task: Annotated[str, tyro.conf.Positional]
    """What is to be done, such as humanoid/pick."""
    a: Annotated[str, tyro.conf.Positional]
    """First controller (before): shipped name or folder, or what `dualsys eval --json` wrote of it on these seeds."""
    b: Annotated[str, tyro.conf.Positional]
    """Second controller (after), likewise."""
    episodes: int = 200
    """Episodes of each."""
    seed: int = 10000
    """Seed of the first; 10000 and above for claims, 8000 to 9999 for development."""
    planner_hz: float = 5.0
    """Rate of the planner."""
    planner_latency_s: float = 0.12
    """Its latency."""
    actor_latency_s: float = 0.03
    """The actor's latency."""
    workers: int = 2
    """Processes."""
    json: Path | None = None
    """File for the figures; default: results/paired_success_TASK.json."""


def main(config: PairedSuccessConfig) -> None:
    """Play both, print the table, write the file."""
    controllers = {key: identified(value) for key, value in (("a", config.a), ("b", config.b))}  # refused before work
    first, second = (_outcomes(config, checkpoint) for checkpoint in (config.a, config.b))
    figures = compare(first, second)
    Console().print(result_table(config, controllers, figures))
    settings = asdict(config) | {"a": Path(config.a).name, "b": Path(config.b).name, "json": None}
    name = f"paired_success_{config.task.rpartition('/')[2]}"
    print(write_report(name, {"config": settings, "controllers": controllers, **figures}, config.json))


def identified(controller: str) -> dict[str, str | None]:
    """Which controller it is: its checkpoint's name, what stood in for its parts, and the digest of its weights.

    A finished evaluation says so itself; one of before it did has None for the digest.
    """
    if controller.endswith(".json"):
        report = _read(Path(controller))
        said = {part: report["config"].get(part, "") for part in ("planner", "actor")}
        checkpoint, weights = report["config"]["checkpoint"], report.get("controller_weights")
    else:
        said = {"planner": "", "actor": ""}
        checkpoint, weights = controller, Checkpoint.open(controller).weights_digest()
    return {"checkpoint": Path(checkpoint).name, **said, "weights": weights}


def outcomes_of_report(config: PairedSuccessConfig, path: Path) -> dict[int, bool]:
    """Success by seed of an evaluation that was done before. Raises `ConfigError` where it was another one."""
    report = _read(path)
    tasks = {task["task"]: task["per_episode"] for task in report["tasks"]}
    if config.task not in tasks:
        raise ConfigError(f"{path} is of {', '.join(sorted(tasks))}, asked is {config.task}; evaluate that one")
    options = json.loads(json.dumps(asdict(_evaluation(config, ""))))
    asked = {name: value for name, value in options.items() if name not in FREE}
    done = _with_younger(report["config"], asked)
    if differing := [name for name in asked if done[name] != asked[name]]:
        was = ", ".join(f"{name} {done[name]!r} (asked: {asked[name]!r})" for name in differing)
        raise ConfigError(f"{path} was evaluated with {was}: pairs need the same; evaluate it again")
    return {episode["seed"]: episode["success"] for episode in tasks[config.task]}


def _with_younger(done: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What was done of what is asked. An option that isn't there is younger than the report, made as its default."""
    return {
        name: _with_younger(done[name], value) if isinstance(value, dict) and name in done else done.get(name, value)
        for name, value in asked.items()
    }


def _read(path: Path) -> dict[str, Any]:
    """What `dualsys eval --json` wrote. Raises `ConfigError` for a file that is missing or no such thing."""
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no file that `dualsys eval --json` wrote: {error}") from error
    return report


def _outcomes(config: PairedSuccessConfig, checkpoint: str) -> dict[int, bool]:
    """Success by seed."""
    if checkpoint.endswith(".json"):
        return outcomes_of_report(config, Path(checkpoint))
    (task,) = evaluate(_evaluation(config, checkpoint))["tasks"]
    return {episode["seed"]: episode["success"] for episode in task["per_episode"]}


def _evaluation(config: PairedSuccessConfig, checkpoint: str) -> EvalConfig:
    return EvalConfig(
        suite_or_task=config.task,
        checkpoint=checkpoint,
        episodes=config.episodes,
        seed=config.seed,
        planner_hz=config.planner_hz,
        planner_latency_s=config.planner_latency_s,
        actor_latency_s=config.actor_latency_s,
        workers=config.workers,
    )


def compare(first: dict[int, bool], second: dict[int, bool]) -> dict[str, Any]:
    """Rates, the four kinds of pairs, the difference (second less first) with its interval, and p.

    Raises `ValueError` for outcomes of different seeds.
    """
    if first.keys() != second.keys():
        raise ValueError("both must have played the same seeds")
    count = len(first)
    both, only_a, only_b, neither = Pairs.of(list(first.values()), [second[seed] for seed in first])
    return {
        "episodes": count,
        "a": _rate(both + only_a, count),
        "b": _rate(both + only_b, count),
        "pairs": {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither},
        "difference": (only_b - only_a) / count,
        "difference_ci95": paired_difference_interval(both, only_b, only_a, neither),
        "mcnemar_p": mcnemar_p(only_a, only_b),
        "only_a_seeds": [seed for seed in first if first[seed] and not second[seed]],
        "only_b_seeds": [seed for seed in first if second[seed] and not first[seed]],
    }


def _rate(successes: int, count: int) -> dict[str, Any]:
    return {"successes": successes, "success": successes / count, "ci95": wilson_interval(successes, count)}


def result_table(
    config: PairedSuccessConfig, controllers: dict[str, dict[str, str | None]], figures: dict[str, Any]
) -> Table:
    """A line for each controller, with its weights' digest, and one for the difference."""
    count = figures["episodes"]
    table = Table(title=f"{config.task}, {count} episodes from seed {config.seed}, the same for both")
    for name in ("", "weights", "success", "95 % interval", "solved by it alone"):
        table.add_column(name, justify="right" if name else "left")
    for key, controller in (("a", config.a), ("b", config.b)):
        rate, alone = figures[key], figures["pairs"][f"only_{key}"]
        low, high = rate["ci95"]
        table.add_row(
            f"{key.upper()} {Path(controller).name}",
            controllers[key]["weights"] or "not told",
            f"{100 * rate['success']:.1f} %",
            f"{100 * low:.1f} to {100 * high:.1f} %",
            f"{alone}/{count}",
        )
    low, high = figures["difference_ci95"]
    span = f"{100 * low:+.1f} to {100 * high:+.1f}"
    table.add_row("B - A, points", "", f"{100 * figures['difference']:+.1f}", span, f"p = {figures['mcnemar_p']:.2g}")
    return table


if __name__ == "__main__":
    main(tyro.cli(PairedSuccessConfig, description=__doc__))
