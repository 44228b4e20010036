"""A joint that is driven into a stop, or asked to go past it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place, runs

PINNED_S = 1.0
BEYOND_S = 0.5
FAIL_SHARE = 0.1
"""Of the dataset's rows."""
_PINNED = 1e-3
"""Share of the range within which a value stands still at its extremum."""
_BEYOND = 0.01
_ABRUPT = 0.25
"""Share of the greatest speed at which a value runs into its extremum: what comes to rest by itself is slower."""
_TWO_POSITIONS = 0.8
"""Share of rows at either end from which a column is a switch, such as a gripper."""


def check_saturation(data: FolderData) -> Finding:
    """No state runs into its extremum and stays there, no action stays beyond its joint's limits."""
    places = [*_pinned(data), *_beyond(data)]
    if not places:
        return Finding(
            check="saturation", verdict="pass", summary="no joint is pinned at its extremum or asked beyond its limits"
        )
    rows = sum(place.last_row - place.first_row + 1 for place in places)
    share = rows / len(data.states)
    return Finding(
        check="saturation",
        verdict="fail" if share >= FAIL_SHARE else "warn",
        summary=f"{len(places)} stretches at a stop or beyond it, {100 * share:.1f} % of the rows",
        where=tuple(places),
        mend="drop these episodes, or record them again within the joint's range: the actor would learn to push",
    )


def _pinned(data: FolderData) -> Iterator[Place]:
    for column in range(data.states.shape[1]):
        values = data.states[:, column].astype(np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        margin = _PINNED * (high - low)
        wide = 20 * margin
        ends = np.mean((values <= low + wide) | (values >= high - wide))
        if not margin > 0 or ends > _TWO_POSITIONS:
            continue
        name = data.state_names[column] if data.state_names else f"state {column}"
        for at_end, word in ((values <= low + margin, "lowest"), (values >= high - margin, "highest")):
            yield from _abrupt_runs(data, values, at_end, f"{name} at its {word}")


def _abrupt_runs(
    data: FolderData, values: NDArray[np.float64], at_end: NDArray[np.bool_], what: str
) -> Iterator[Place]:
    """Long runs at an extremum that were entered at speed."""
    inner = np.ones(len(values), bool)
    inner[data.episode_starts] = False
    speeds = np.abs(np.diff(values, prepend=values[:1])) * inner
    fastest = np.nanmax(speeds)
    for episode, (start, length) in enumerate(zip(data.episode_starts, data.episode_lengths, strict=True)):
        for first, stop in runs(at_end[start : start + length]):
            # Row `first` is at the end already: the last full step of the motion led up to it or to the row before.
            entry = speeds[start + max(first - 1, 0) : start + first + 1].max()
            if (stop - first) / data.fps >= PINNED_S and entry >= _ABRUPT * fastest:
                yield Place(episode=episode, first_row=first, last_row=stop - 1, what=what)


def _beyond(data: FolderData) -> Iterator[Place]:
    spec = data.embodiment
    if spec is None or spec.num_actions != data.actions.shape[1]:
        return
    margin = _BEYOND * (spec.upper - spec.lower)
    beyond = (data.actions < spec.lower - margin) | (data.actions > spec.upper + margin)
    for column in np.flatnonzero(beyond.any(axis=0)):
        for episode, (start, length) in enumerate(zip(data.episode_starts, data.episode_lengths, strict=True)):
            for first, stop in runs(beyond[start : start + length, column]):
                if (stop - first) / data.fps >= BEYOND_S:
                    what = f"{spec.joints[column].name} asked beyond its limits"
                    yield Place(episode=episode, first_row=first, last_row=stop - 1, what=what)
