"""An evaluation's report as a picture."""

from pathlib import Path
from typing import Any


def draw(report: dict[str, Any], path: Path) -> None:
    """Success with its interval, and how long episodes took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    rates, times = figure.subplots(1, 2)
    for row, task in enumerate(report["tasks"]):
        low, high = task["ci95"]
        rates.barh(row, task["success"], color="#4477aa")
        rates.plot([low, high], [row, row], color="black")
        won = [episode["duration_s"] for episode in task["per_episode"] if episode["success"]]
        lost = [episode["duration_s"] for episode in task["per_episode"] if not episode["success"]]
        times.hist([won, lost], bins=20, stacked=True, color=["#4477aa", "#cc6677"], label=["success", "failure"])
    rates.set_yticks(range(len(report["tasks"])), [task["task"] for task in report["tasks"]])
    rates.set_xlim(0, 1)
    rates.set_xlabel("success, 95 % Wilson interval")
    times.set_xlabel("episode time (s)")
    times.legend(["success", "failure"])
    figure.savefig(path, dpi=110)
