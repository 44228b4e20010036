"""An evaluation's report as a picture."""

from pathlib import Path
from typing import Any

from dualsys.app.evaluation.returns import counts_returns, mean_return


def draw(report: dict[str, Any], path: Path) -> None:
    """The figure as a picture."""
    success_figure(report).savefig(path, dpi=110)


def success_figure(report: dict[str, Any]) -> Any:
    """Success with its interval, and how long episodes took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, max(3.2, 1.0 + 0.22 * len(report["tasks"]))), layout="constrained")
    rates, times = figure.subplots(1, 2)
    by_return = counts_returns(report)
    for row, task in enumerate(report["tasks"]):
        found = mean_return(task) if by_return else {"mean": task["success"], "ci95": task["ci95"]}
        rates.barh(row, found["mean"], color="#4477aa")
        rates.plot(found["ci95"] or [], [row, row] if found["ci95"] else [], color="black")
        won = [episode["duration_s"] for episode in task["per_episode"] if episode["success"]]
        lost = [episode["duration_s"] for episode in task["per_episode"] if not episode["success"]]
        times.hist([won, lost], bins=20, stacked=True, color=["#4477aa", "#cc6677"], label=["success", "failure"])
    rates.set_yticks(range(len(report["tasks"])), [task["task"] for task in report["tasks"]])
    rates.invert_yaxis()  # in the order of the table
    rates.set_xlabel("mean return, 95 % interval")
    if not by_return:
        rates.set(xlim=(0, 1), xlabel="success, 95 % Wilson interval")
    times.set_xlabel("episode time (s)")
    times.legend(["success", "failure"])
    return figure
