"""Actions lead states by a servo's lag: row `t` pairs a state with the target sent right after it.

    action    _/~~~        the state comes closest to the action where it follows it: lag 1 to some rows
    state     __/~~        lag 0 or less: the state already shows what the action asks for, rows are shifted

A joint's lag is the one that leaves least of its state unexplained: the variance of `action[t] - state[t + lag]`; the
dataset's is the median of the joints that obey, since fingers that close on an object stay behind for good. The peak of
the velocities' cross-correlation is another measure, and a worse one: on slow motions it is flat, and an expert that
answers its own noise draws it to lag 0 and below (`docs/log-first-weeks.md`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place, Verdict

MAX_LAG_S = 0.5
"""A servo slower than this is no servo: states and actions are from different times."""
MIN_EXPLAINED = 0.5
MAX_GAP = 0.5
"""Typical distance of an action from the state that answers it, as a share of the joint's range."""
_MOVING = 0.2
"""Joints that move less than this share of what the busiest one does say more about noise than about the servo."""
_CHECK = "alignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How states follow actions."""

    lag_rows: int
    """Rows by which states follow actions, median of the joints that obey."""
    farthest_rows: int
    """Lags were tried from minus to plus this."""
    explained: float
    """Share of its state's variance that an action explains, median of the moving joints; may be negative."""
    gap: float
    """Median distance of actions from the states that answer them, as a share of the joint's range."""


def check_alignment(data: FolderData) -> Finding:
    """States follow actions of the same name by one row up to `MAX_LAG_S`, and come near them."""
    pairs = _pairs(data)
    if not pairs:
        return Finding(check=_CHECK, verdict="skip", summary="no action is the target of a state of the same name")
    found = measure_alignment(data, pairs)
    if found is None:
        return Finding(check=_CHECK, verdict="skip", summary="no joint moves, or no episode is long enough to tell")
    summary = (
        f"states follow actions by {found.lag_rows} rows ({1000 * found.lag_rows / data.fps:.0f} ms), which explain "
        f"{100 * max(found.explained, 0):.0f} % of them, {100 * found.gap:.0f} % of the range apart"
    )
    verdict, problem, mend = _judged(found)
    if verdict == "pass":
        return Finding(check=_CHECK, verdict=verdict, summary=summary)
    where = tuple(
        Place(episode=episode, first_row=0, last_row=length - 1)
        for episode, length in enumerate(data.episode_lengths.tolist())
    )
    return Finding(check=_CHECK, verdict=verdict, summary=f"{problem}: {summary}", where=where, mend=mend)


def _judged(found: Alignment) -> tuple[Verdict, str, str]:
    """Verdict, problem and how to mend it."""
    if found.explained < MIN_EXPLAINED:
        mend = "check that actions are targets of the joints, in their order and units (degrees, radians)"
        return "warn", "states hardly follow actions", mend
    if found.lag_rows <= 0:
        shift = 1 - found.lag_rows
        mend = f"pair each state with the action {shift} rows later: dualsys data import --action-shift-rows {shift}"
        if found.lag_rows == 0:  # what comes before the action does not answer it, this may
            may_be = "nothing, where the servo is that fast or an expert answered noise of its own; else "
            return "warn", "states answer within their row", may_be + mend
        return "fail", "rows are shifted", mend
    if found.lag_rows >= found.farthest_rows:
        return "fail", "states are late", "record states and actions with one clock: no servo is that slow"
    if found.gap > MAX_GAP:
        mend = "check the zero of the joints: actions and states differ by an offset"
        return "warn", "actions are far from the states that answer them", mend
    return "pass", "", ""


def measure_alignment(data: FolderData, pairs: list[tuple[int, int]]) -> Alignment | None:
    """Lag of states behind actions over all episodes and moving joints; None where there is nothing to tell it by.

    Args:
        data: The dataset.
        pairs: Columns of states and actions that belong together.
    """
    columns = np.array(pairs)
    states = data.states[:, columns[:, 0]].astype(np.float64)
    actions = data.actions[:, columns[:, 1]].astype(np.float64)
    finite = np.isfinite(np.concatenate([states, actions], axis=1)).all(axis=1)
    # A quarter of an episode at most, so that every lag is judged by the same rows in the middle.
    farthest = min(round(MAX_LAG_S * data.fps), int(np.median(data.episode_lengths)) // 4)
    if farthest < 2 or not finite.any():
        return None
    spread = np.ptp(np.quantile(states[finite], [0.01, 0.99], axis=0), axis=0)
    moving = (spread > _MOVING * spread.max()) & (spread > 0)
    if not moving.any():
        return None
    states, actions = states[:, moving] / spread[moving], actions[:, moving] / spread[moving]
    windows = list(_middles(data, finite, farthest))
    if not windows:
        return None
    lags = np.arange(-farthest, farthest + 1)
    left = np.stack([_variances([actions[a:b] - states[a + lag : b + lag] for a, b in windows]) for lag in lags])
    best = np.argmin(left, axis=0)
    varied = _variances([states[a:b] for a, b in windows])
    explained = 1 - left.min(axis=0) / np.maximum(varied, np.finfo(np.float64).tiny)
    obey = explained >= MIN_EXPLAINED
    lag = int(np.median(lags[best[obey]] if obey.any() else lags[best]))
    gap = np.concatenate([np.abs(actions[a:b] - states[a + lag : b + lag]) for a, b in windows])
    return Alignment(
        lag_rows=lag, farthest_rows=farthest, explained=float(np.median(explained)), gap=float(np.median(gap))
    )


def _middles(data: FolderData, finite: NDArray[np.bool_], margin: int) -> Iterator[tuple[int, int]]:
    """`[first, stop)` of episodes without their first and last `margin` rows, where all is finite."""
    for start, length in zip(data.episode_starts.tolist(), data.episode_lengths.tolist(), strict=True):
        if length > 2 * margin + 2 and finite[start : start + length].all():
            yield start + margin, start + length - margin


def _variances(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """By joint: mean over rows of the squared distance from each episode's mean."""
    squares = sum(np.sum((part - part.mean(axis=0)) ** 2, axis=0) for part in parts)
    return np.asarray(squares / sum(len(part) for part in parts))


def _pairs(data: FolderData) -> list[tuple[int, int]]:
    if data.embodiment is not None and data.embodiment.action_representation != "joint":
        return []
    order = {name: column for column, name in enumerate(data.state_names)}
    return [(order[name], column) for column, name in enumerate(data.action_names) if name in order]
