"""An evaluation's report as a picture."""

from pathlib import Path
from typing import Any


def draw(report: dict[str, Any], path: Path) -> None:
    """The figure as a picture."""
    success_figure(report).savefig(path, dpi=110)


def success_figure(report: dict[str, Any]) -> Any:
    """Success with its interval, and how long episodes took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, max(3.2, 1.0 + 0.22 * len(report["tasks"]))), layout="constrained")
    rates, times = figure.subplots(1, 2)
    for row, task in enumerate(report["tasks"]):
        low, high = task["ci95"]
        rates.barh(row, task["success"], color="#4477aa")
        rates.plot([low, high], [row, row], color="black")
        won = [episode["duration_s"] for episode in task["per_episode"] if episode["success"]]
        lost = [episode["duration_s"] for episode in task["per_episode"] if not episode["success"]]
        times.hist([won, lost], bins=20, stacked=True, color=["#4477aa", "#cc6677"], label=["success", "failure"])
    rates.set_yticks(range(len(report["tasks"])), [task["task"] for task in report["tasks"]])
    rates.invert_yaxis()  # in the order of the table
    rates.set_xlim(0, 1)
    rates.set_xlabel("success, 95 % Wilson interval")
    times.set_xlabel("episode time (s)")
    times.legend(["success", "failure"])
    return figure
