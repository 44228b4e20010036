"""A protocol's headline: averages over its tasks, and over each of its groups."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from rich.table import Table

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.deviations import deviations
from dualsys.app.intervals import wilson_interval
from dualsys.sim_envs.protocols import EvaluationProtocol

Report = dict[str, Any]


def protocol_report(config: EvalConfig, tasks: Sequence[Report]) -> Report | None:
    """The protocol as a whole, what was done otherwise, and its averages, as a result's JSON has them.

    Args:
        config: The evaluation.
        tasks: What was found of each task (`dualsys.app.evaluation.report.task_report`).
    """
    protocol = config.benchmark()
    if protocol is None:
        return None
    return {
        "definition": protocol.model_dump(mode="json"),
        "group": config.group,
        "deviations": deviations(config, [task["task"] for task in tasks]),
        "average": _average(protocol, tasks),
        "groups": {
            name: _average(protocol, [task for task in tasks if name in protocol.groups_of(task["task"])])
            for name in protocol.groups
            if any(name in protocol.groups_of(task["task"]) for task in tasks)
        },
    }


def _average(protocol: EvaluationProtocol, tasks: Sequence[Report]) -> Report:
    """The interval is of all episodes together."""
    successes, episodes = (sum(task[name] for task in tasks) for name in ("successes", "episodes"))
    low, high = wilson_interval(successes, episodes)
    return {
        "tasks": len(tasks),
        "episodes": episodes,
        "successes": successes,
        "success": fmean(task["success"] for task in tasks) if protocol.averaging == "tasks" else successes / episodes,
        "ci95": [low, high],
        "mean_return": _mean_return(protocol, tasks),
    }


def _mean_return(protocol: EvaluationProtocol, tasks: Iterable[Report]) -> float:
    if protocol.averaging == "tasks":
        return fmean(task["mean_reward"] for task in tasks)
    return fmean(episode["reward"] for task in tasks for episode in task["per_episode"])


def averages_table(protocol: Report) -> Table:
    """A line for each group, and one for all, of what `protocol_report` gives."""
    definition = protocol["definition"]
    by_return = definition["success"] == "return"
    table = Table(title=f"{definition['name']}: mean of {definition['averaging']}")
    table.add_column("group")
    headings = ("return",) if by_return else ("success", "95 % interval", "episodes")
    for heading in ("tasks", *headings):
        table.add_column(heading, justify="right")
    for name, average in (*protocol["groups"].items(), ("all", protocol["average"])):
        low, high = average["ci95"]
        figures = (
            (f"{average['mean_return']:.1f}",)
            if by_return
            else (
                f"{100 * average['success']:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f} %",
                f"{average['successes']}/{average['episodes']}",
            )
        )
        table.add_row(name, str(average["tasks"]), *figures)
    return table
