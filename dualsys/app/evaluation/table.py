"""An evaluation's report as a table."""

from typing import Any

from rich.console import Console
from rich.table import Table

from dualsys.app.evaluation.averages import averages_table
from dualsys.app.evaluation.returns import counts_returns, in_words, mean_return
from dualsys.app.evaluation.timing_words import timing_in_words
from dualsys.app.refused_chunks import none_accepted, refused_chunks
from dualsys.app.who_drives import who_drives
from dualsys.app.wide_console import wide_console


def show(report: dict[str, Any]) -> None:
    """A table, and what there is to warn of."""
    console, tables = Console(), wide_console()
    tables.print(result_table(report))
    if protocol := report.get("protocol"):
        if len(report["tasks"]) > 1:
            tables.print(averages_table(protocol))
        if protocol["deviations"]:
            said = f"not the protocol: {'; '.join(protocol['deviations'])}"
            console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if deaths := report["timings"]["worker_deaths"]:
        said = f"workers died {len(deaths)} times; what they played was played again"
        console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for task in report["tasks"]:
        if warning := none_accepted(task["chunks"]):
            console.print(f"{task['task']}: {warning}", markup=False, highlight=False, soft_wrap=True)


def result_table(report: dict[str, Any]) -> Table:
    """A line for each task."""
    config = report["config"]
    table = Table(
        title=f"{who_drives(config)}: {timing_in_words(config)}, "
        f"phrasing {config['phrasing']}, randomization {config['randomization']}"
        f"{', perturbed: ' if config['perturb'] else ''}{' '.join(config['perturb'])}"
    )
    recovers = config["core"]["recovery"]["enabled"]
    refused = [refused_chunks(task["chunks"]) for task in report["tasks"]]
    more = (["recoveries"] if recovers else []) + (["chunks refused"] if any(refused) else [])
    by_return = counts_returns(report)
    for name in ("task", "mean return" if by_return else "success", "95 % interval", "episodes", "mean time", *more):
        # Folded, not cut, where there is no room for it: tasks are told apart by how their names end.
        table.add_column(name, justify="left" if name == "task" else "right", overflow="fold")
    for task, reasons in zip(report["tasks"], refused, strict=True):
        low, high = task["ci95"]
        succeeded = f"{100 * task['success']:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"
        table.add_row(
            task["task"],
            *(in_words(mean_return(task)) if by_return else succeeded),
            str(task["episodes"]) if by_return else f"{task['successes']}/{task['episodes']}",
            f"{task['mean_duration_s']:.2f} s",
            *([str(task["recoveries"]["recoveries"])] if recovers else []),
            *([", ".join(f"{name} {count}" for name, count in reasons.items()) or "0"] if any(refused) else []),
        )
    return table
