"""Returns instead of successes, where a protocol counts those."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dualsys.app.intervals import mean_interval


def counts_returns(report: Mapping[str, Any]) -> bool:
    """Whether an evaluation's or a sweep's figure is the return: nothing else is a success by its protocol."""
    protocol = report.get("protocol") or {}
    points = [point for task in report["tasks"] for point in task.get("points", ())]
    is_told = all("return" in point for point in points)  # sweeps of before don't
    return is_told and bool(protocol.get("definition", {}).get("success") == "return")


def mean_return(task: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A task's mean return with its 95 % interval, or the mean of what it is more than before on the same seeds.

    Args:
        task: A task's report (`dualsys.app.evaluation.report.task_report`).
        before: Of the same task, from the same seeds in the same order.
    """
    returns = _returns(task)
    if before is not None:
        returns = [one - other for one, other in zip(returns, _returns(before), strict=True)]
    return {"mean": fmean(returns), "ci95": mean_interval(returns)}


def in_words(found: Mapping[str, Any], *, sign: str = "") -> tuple[str, str]:
    """A mean and its interval; of a single episode there is none."""
    ends = "" if found["ci95"] is None else " to ".join(f"{end:{sign}.1f}" for end in found["ci95"])
    return f"{found['mean']:{sign}.1f}", ends


def _returns(task: Mapping[str, Any]) -> list[float]:
    return [episode["reward"] for episode in task["per_episode"]]
