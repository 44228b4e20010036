"""Two evaluations of one task on the same seeds."""

from collections.abc import Mapping
from typing import Any

from dualsys.app.intervals import Pairs, mcnemar_p, paired_difference_interval


def paired(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Difference of two success rates, the other less the first, with its 95 % interval and McNemar's exact p.

    Args:
        first: A task's report (`dualsys.app.evaluation.report.task_report`).
        other: Of the same task, from the same seeds in the same order.

    Raises:
        ValueError: the seeds differ, or there are more of one.
    """
    seeds, others = ([episode["seed"] for episode in each["per_episode"]] for each in (first, other))
    if len(seeds) != len(others):
        raise ValueError(f"{len(seeds)} episodes are beside {len(others)}: they must come in pairs")
    for seed, beside in zip(seeds, others, strict=True):
        if seed != beside:
            raise ValueError(f"seed {seed} is beside seed {beside}: episodes must come in pairs")
    solved, also = ([episode["success"] for episode in each["per_episode"]] for each in (other, first))
    pairs = Pairs.of(solved, also)
    return {
        "difference": (pairs.only_first - pairs.only_second) / len(solved),
        "ci95": list(paired_difference_interval(*pairs)),
        "mcnemar_p": mcnemar_p(pairs.only_second, pairs.only_first),
    }
