"""Relative actions of GR00T N1.6 and N1.7: what `rep: RELATIVE` in processor_config.json says, by statistics.json.

As NVIDIA's `StateActionProcessor`: a part is relative to the state part that `state_key` names, or the one of its own
name. Its statistics are of each row of a chunk `(A, n)`, or of all `(n,)`; its ends are the smallest and the largest
value, whatever `use_percentiles` says, unless it goes by mean and deviation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualsys.app.importing.groot_processor import GrootProcessor
from dualsys.app.importing.relative import RelativeActions
from dualsys.errors import CheckpointError, unknown_name
from dualsys.messages import FloatArray

KINDS = ("min", "max", "mean", "std", "q01", "q99")


def relative_actions(sections: Mapping[str, Any], processor: GrootProcessor) -> RelativeActions | None:
    """A robot's, from its sections of statistics.json; None where none are.

    Raises:
        CheckpointError: statistics or states are missing, or are of another width.
    """
    state_of = processor.relative_parts
    if not state_of:
        return None
    actions, moves = sections.get("action") or {}, sections.get("relative_action") or {}
    places = _places(sections, processor)
    to: list[int | None] = []
    parts: list[dict[str, FloatArray]] = []
    for part in processor.order("action"):
        by_deviation = part in processor.standardised("action")
        if part not in state_of:
            ends = ("q01", "q99") if processor.percentiles else ("min", "max")
            told, width = actions.get(part) or {}, _width(actions.get(part))
            to += [None] * width
            parts.append(_numbers(told, width, part, needed=("mean", "std") if by_deviation else ends))
            continue
        state = state_of[part]
        if state not in places:
            raise CheckpointError(f"actions {part!r} are relative to a state: {unknown_name('state', state, places)}")
        if part not in moves:
            raise CheckpointError(
                f"actions {part!r} are relative, and statistics.json tells nothing of them under relative_action; "
                "copy the original folder again"
            )
        to += places[state]
        needed = ("mean", "std") if by_deviation else ("min", "max")
        parts.append(_numbers(moves[part], len(places[state]), part, needed=needed))
    words = ", ".join(part if part == state else f"{part} to {state}" for part, state in state_of.items())
    return RelativeActions(to=tuple(to), by_row=_joined(parts), told=words)


def _places(sections: Mapping[str, Any], processor: GrootProcessor) -> dict[str, range]:
    """Of each part of the state, the numbers of its own."""
    states = sections.get("state") or {}
    found, start = {}, 0
    for part in processor.order("state") or states:
        end = start + _width(states.get(part))
        found[part], start = range(start, end), end
    return found


def _width(told: Mapping[str, Any] | None) -> int:
    return next((np.size(told[kind]) for kind in KINDS if kind in told), 0) if told else 0


def _numbers(told: Mapping[str, Any], width: int, part: str, *, needed: tuple[str, ...]) -> dict[str, FloatArray]:
    """By kind `(A, n)` or `(1, n)`; zeros where nobody needs what isn't told."""
    if missing := [kind for kind in needed if kind not in told]:
        raise CheckpointError(f"statistics.json tells no {', '.join(missing)} of actions {part!r}")
    found = {}
    for kind in KINDS:
        value = np.atleast_2d(np.asarray(told.get(kind, np.zeros(width)), dtype=np.float64))
        if value.ndim != 2 or value.shape[1] != width:
            raise CheckpointError(
                f"statistics.json: {kind} of actions {part!r} is {' by '.join(map(str, value.shape))} numbers; rows of "
                f"{width} were expected, as many as the state has that they are relative to"
            )
        found[kind] = value
    return found


def _joined(parts: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    counts = {len(value) for part in parts for value in part.values()} - {1}
    if len(counts) > 1:
        raise CheckpointError(f"statistics of relative actions are of {' and '.join(map(str, sorted(counts)))} rows")
    rows = max(counts, default=1)
    return {
        kind: np.concatenate([np.broadcast_to(part[kind], (rows, part[kind].shape[1])) for part in parts], axis=1)
        for kind in KINDS
    }
