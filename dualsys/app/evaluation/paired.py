"""Two evaluations of one task on the same seeds."""

from collections.abc import Mapping
from typing import Any

from dualsys.app.intervals import mcnemar_p, paired_difference_interval


def paired(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Difference of two success rates, the other less the first, with its 95 % interval and McNemar's exact p.

    Args:
        first: A task's report (`dualsys.app.evaluation.report.task_report`).
        other: Of the same task, from the same seeds in the same order.

    Raises:
        ValueError: the seeds differ.
    """
    pairs = [
        (one["success"], two["success"])
        for one, two in zip(first["per_episode"], other["per_episode"], strict=True)
        if _same(one["seed"], two["seed"])
    ]
    both, only_other, only_first, neither = (
        pairs.count(each) for each in ((True, True), (False, True), (True, False), (False, False))
    )
    return {
        "difference": (only_other - only_first) / len(pairs),
        "ci95": list(paired_difference_interval(both, only_other, only_first, neither)),
        "mcnemar_p": mcnemar_p(only_first, only_other),
    }


def _same(one: int, other: int) -> bool:
    if one != other:
        raise ValueError(f"seed {one} is beside seed {other}: episodes must come in pairs")
    return True
