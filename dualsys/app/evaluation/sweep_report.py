"""What a sweep found: success at each point with its interval, beside the first point on the same seeds."""

from pathlib import Path
from typing import Any

from rich.table import Table

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.paired import paired
from dualsys.app.evaluation.played import OF_ONE
from dualsys.app.evaluation.returns import counts_returns, in_words, mean_return
from dualsys.app.evaluation.sweep import Sweep, point_file


def sweep_report(config: EvalConfig, sweep: Sweep, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """A curve for each task, as it goes into the JSON file.

    Args:
        config: What was asked for.
        sweep: What was changed.
        reports: Of its points.
    """
    tasks = [task["task"] for task in reports[0]["tasks"]]
    files = {} if config.json is None else {point.label: point_file(config.json, point).name for point in sweep.points}
    timings = {key: value for key, value in reports[0].get("timings", {}).items() if key not in OF_ONE}
    points = [point.label for point in sweep.points]
    return {
        "sweep": {
            "option": sweep.option,
            "points": points,
            "averages": _averages(points, reports),
            "traces": {label: report.get("traces") or {} for label, report in zip(points, reports, strict=True)},
        },
        "tasks": [{"task": task, "points": _curve(sweep, reports, number)} for number, task in enumerate(tasks)],
        **{key: value for key, value in reports[0].items() if key not in ("tasks", "config", "traces", "protocol")},
        "protocol": _without_averages(reports[0].get("protocol")),
        "config": config.plain(),
        "timings": {**timings, **config.not_deciding(), "reports": files},
    }


def _averages(points: list[str], reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The protocol's own average at each point, by its label; empty without a protocol."""
    found = zip(points, (report.get("protocol") for report in reports), strict=True)
    return {label: protocol["average"] for label, protocol in found if protocol is not None}


def _without_averages(protocol: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if protocol is None else {k: v for k, v in protocol.items() if k not in ("average", "groups")}


def _curve(sweep: Sweep, reports: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """The points of one task."""
    first = reports[0]["tasks"][number]
    kept = ("successes", "episodes", "success", "ci95", "mean_duration_s", "mean_reward", "timing")
    points = []
    for point, report in zip(sweep.points, reports, strict=True):
        task = report["tasks"][number]
        said = {"label": point.label, "value": point.value, "place": point.place}
        points.append({**said, **{key: task[key] for key in kept}, "against_first": paired(first, task)})
        if counts_returns(report):
            points[-1]["return"] = mean_return(task) | {"against_first": mean_return(task, first)}
    return points


def sweep_tables(report: dict[str, Any]) -> list[Table]:
    """A table for each task, with a line for each point."""
    by_return = counts_returns(report)
    return [_table(report["sweep"]["option"], task, by_return=by_return) for task in report["tasks"]]


def _table(option: str, task: dict[str, Any], *, by_return: bool) -> Table:
    table = Table(title=f"{task['task']}: {'return' if by_return else 'success'} against {option}")
    against = ["against the first"] if len(task["points"]) > 1 else []
    for name in (option.rpartition("_")[2], "mean" if by_return else "%", "95 %", "of", "time", *against):
        table.add_column(name, justify="right", no_wrap=True)
    for number, point in enumerate(task["points"]):
        found, of, difference = _returned(point) if by_return else _succeeded(point)
        time = f"{point['mean_duration_s']:.2f} s"
        table.add_row(point["label"], *found, of, time, *([difference if number else ""] if against else []))
    return table


def _returned(point: dict[str, Any]) -> tuple[tuple[str, str], str, str]:
    """Mean return and its interval, of how many episodes, and against the first point."""
    more, ends = in_words(point["return"]["against_first"], sign="+")
    return in_words(point["return"]), str(point["episodes"]), f"{more} ({ends})" if ends else more


def _succeeded(point: dict[str, Any]) -> tuple[tuple[str, str], str, str]:
    """The same of successes."""
    low, high = point["ci95"]
    found = f"{100 * point['success']:.1f}", f"{100 * low:.1f}-{100 * high:.1f}"
    return found, f"{point['successes']}/{point['episodes']}", _difference(point["against_first"])


def _difference(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f}, {100 * high:+.1f})"


def draw_sweep(report: dict[str, Any], path: Path) -> None:
    """The figure as a picture."""
    sweep_figure(report).savefig(path, dpi=110)


def sweep_figure(report: dict[str, Any]) -> Any:
    """Success, or the return, against what was swept, with intervals; the frozen world as a line across."""
    from matplotlib.figure import Figure

    by_return = counts_returns(report)
    figure = Figure(figsize=(10, 4.0), layout="constrained")
    axis, times = figure.subplots(1, 2)
    for number, task in enumerate(report["tasks"]):
        colour = f"C{number % 10}"
        placed = [point for point in task["points"] if point["place"] is not None]
        placed.sort(key=lambda point: point["place"])
        heights = [_height(point, by_return=by_return) for point in placed]
        rates = [middle for middle, _, _ in heights]
        errors = [
            [max(0.0, middle - low) for middle, low, _ in heights],
            [max(0.0, high - middle) for middle, _, high in heights],
        ]
        places = [point["place"] for point in placed]
        axis.errorbar(places, rates, yerr=errors, marker="o", ms=4, capsize=3, color=colour, label=task["task"])
        times.plot(places, [point["mean_duration_s"] for point in placed], marker="o", ms=4, color=colour)
        for point in (each for each in task["points"] if each["place"] is None):
            height, _, _ = _height(point, by_return=by_return)
            axis.axhline(height, color=colour, ls="--", lw=1, label=f"{task['task']}, {point['label']}")
            times.axhline(point["mean_duration_s"], color=colour, ls="--", lw=1)
        times.set(xlabel=report["sweep"]["option"], ylabel="mean time of an episode (s)")
    axis.set(xlabel=report["sweep"]["option"], ylabel="mean return, 95 % interval")
    if not by_return:
        axis.set(ylabel="success (%), 95 % Wilson interval", ylim=(-2, 102))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def _height(point: dict[str, Any], *, by_return: bool) -> tuple[float, float, float]:
    """What a point is worth, and the ends of its interval."""
    if not by_return:
        return 100 * point["success"], 100 * point["ci95"][0], 100 * point["ci95"][1]
    mean = point["return"]["mean"]
    low, high = point["return"]["ci95"] or (mean, mean)
    return mean, low, high
