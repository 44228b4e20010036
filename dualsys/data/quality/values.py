"""States and actions are numbers."""

import numpy as np

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place, places_of


def check_values(data: FolderData) -> Finding:
    """No state and no action is NaN or infinite."""
    where: list[Place] = []
    count = 0
    for kind, values, names in (
        ("state", data.states, data.state_names),
        ("action", data.actions, data.action_names),
    ):
        bad = ~np.isfinite(values)
        count += int(bad.sum())
        for column in np.flatnonzero(bad.any(axis=0)):
            name = names[column] if names else str(column)
            where += places_of(bad[:, column], data.episode_lengths, f"{kind} {name}")
    if not where:
        return Finding(check="values", verdict="pass", summary="every state and action is finite")
    return Finding(
        check="values",
        verdict="fail",
        summary=f"{count} states or actions are NaN or infinite",
        where=tuple(where),
        mend="drop these episodes, or fill the gaps: training would spread them to every weight",
    )
