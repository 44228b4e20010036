"""Which row of which chunk is played: pure functions of chunks and counts, no clocks.

The play position is counted in rows and may lie between two of them; the target there lies on a smooth curve through
the rows, so a chunk of 50 Hz rows plays at any control rate. (Straight lines would change velocity from one tick to the
next at each row: at 500 Hz the acceleration limit would then cut most ticks of a harmless motion.)

    row        0       1       2       3         horizon 4
               |-------|-------|-------|=======> the last row is held, and counted as starved
    target     r0 .... r1 .... r2 .... r3 r3 r3
"""

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dualsys.messages import ActionChunk, ActionPrefix, FloatArray

Columns = NDArray[np.bool_]
ChunkProblem = Literal["shape", "finite", "timing"]

ROW_ROUNDING = 1e-6
"""Rows by which a position may pass the last row through rounding and still be on it."""

LARGEST_ROW = 1e9
"""Radians or metres no robot is asked for; up to here arithmetic on rows cannot overflow."""


def target_at(rows: FloatArray, position: float, stepped: Columns | None = None) -> FloatArray:
    """Target at a position in rows, `(nu,)`: on a monotone cubic through the rows, held at the first and last.

    Each row is met exactly, the velocity is continuous, and the target lies between its two neighbouring rows: a
    turning point of the curve is always a row. Tangents are harmonic means of the neighbouring slopes (Fritsch and
    Butland, SIAM J. Sci. Stat. Comput. 5 (1984)).

    Args:
        rows: `(horizon, nu)`.
        position: Any number; below 0 gives the first row, beyond the last row the last.
        stepped: Columns `(nu,)` that keep a row until the next instead, True; None: none.
    """
    last = rows.shape[0] - 1
    if position >= last:
        return np.array(rows[last])
    if position <= 0.0:
        return np.array(rows[0])
    index = int(position)
    share = position - index
    before, after = rows[index], rows[index + 1]
    slope = after - before
    start = _tangent(before - rows[index - 1], slope) if index > 0 else slope
    end = _tangent(slope, rows[index + 2] - after) if index + 2 <= last else slope
    target = _hermite(before, after, slope, start, end, share)
    return target if stepped is None else np.where(stepped, rows[int(position + ROW_ROUNDING)], target)


def rows_from(rows: FloatArray, position: float, stepped: Columns | None = None) -> FloatArray:
    """Targets at `position`, `position + 1`, .. up to the last row, `(n, nu)`, each as `target_at` gives it.

    Args:
        rows: `(horizon, nu)`.
        position: Not below 0; beyond the last row there are none.
        stepped: As for `target_at`.
    """
    index = math.floor(position + ROW_ROUNDING)
    share = max(position - index, 0.0)
    if share <= ROW_ROUNDING:
        return rows[index:]
    slopes = np.diff(rows, axis=0)
    tangents = np.concatenate([slopes[:1], _tangent(slopes[:-1], slopes[1:]), slopes[-1:]])
    targets = _hermite(rows[:-1], rows[1:], slopes, tangents[:-1], tangents[1:], share)[index:]
    return targets if stepped is None else np.where(stepped, rows[index:-1], targets)


def moved_on(prefix: ActionPrefix, rows: float, stepped: Columns | None = None) -> ActionPrefix | None:
    """A prefix as it is for a later moment than it was made for; None where nothing runs any more then.

    The expected delay stays: it is counted from the observation that a chunk is made from.

    Args:
        prefix: Row 0 is meant for its own moment.
        rows: How much later, in rows; below 0, earlier: its first row is repeated for what ran before, which it doesn't
            tell.
        stepped: As for `target_at`.
    """
    if abs(rows) <= ROW_ROUNDING:
        return prefix
    lead = max(0, math.ceil(-rows - ROW_ROUNDING))
    later = rows_from(prefix.rows, max(rows + lead, 0.0), stepped)
    moved = np.concatenate([np.repeat(prefix.rows[:1], lead, axis=0), later])
    return replace(prefix, rows=moved) if len(moved) else None


def _hermite(
    before: FloatArray, after: FloatArray, slope: FloatArray, start: FloatArray, end: FloatArray, share: float
) -> FloatArray:
    """Point at `share` of the way between two rows; tangents at both in units of rows."""
    # About the straight line, which is exact at both rows.
    straight = (1.0 - share) * before + share * after
    bend = share * (1.0 - share) * ((1.0 - share) * (start - slope) + share * (slope - end))
    target: FloatArray = np.minimum(np.maximum(straight + bend, np.minimum(before, after)), np.maximum(before, after))
    return target


def _tangent(before: FloatArray, after: FloatArray) -> FloatArray:
    """Slope at a row from the slopes on its two sides, per row: 0 where they point apart, else their harmonic mean."""
    total = before + after
    turning = before * after <= 0.0
    return np.where(turning, 0.0, 2.0 * before * (after / np.where(turning, 1.0, total)))


def problem_of(chunk: ActionChunk, num_actions: int, *, now_s: float) -> ChunkProblem | None:
    """Why a chunk can't be played at a time, or None. Takes whatever an actor may return; never raises."""
    rows: Any = chunk.rows
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
        return "shape"
    if rows.shape[0] < 1 or rows.shape[1] != num_actions:
        return "shape"
    # As the doubles they are played as: in fewer bits the limit itself may be infinite.
    if not (np.abs(np.asarray(rows, dtype=np.float64)) <= LARGEST_ROW).all():  # false for what is not a number, too
        return "finite"
    dt_s: Any = chunk.dt_s
    stamps_fit = is_number(chunk.start_stamp_s) and chunk.start_stamp_s <= now_s + 1e-6
    named = is_number(chunk.subgoal_sequence) and is_number(chunk.subgoal_epoch) and is_duration(chunk.subgoal_age_s)
    if not stamps_fit or not named or not is_number(dt_s) or dt_s < 1e-6:
        return "timing"
    return None


def is_duration(value: Any) -> bool:
    """Whether a value is a number of seconds; infinite means never or for ever."""
    return is_number(value) or (isinstance(value, (float, np.floating)) and bool(value == math.inf))


def is_number(value: Any) -> bool:
    """Whether a value is a real number of a size that can be a time in seconds."""
    number: Any = value
    return isinstance(value, (int, float, np.integer, np.floating)) and bool(abs(number) < 1e12)


def is_vector(value: Any, length: int) -> bool:
    """Whether a value is a finite vector of that length."""
    if not isinstance(value, np.ndarray) or value.shape != (length,) or value.dtype.kind not in "fiu":
        return False
    return bool(np.isfinite(value).all())
