"""Which row of which chunk is played: pure functions of chunks and counts, no clocks.

The play position is counted in rows and may lie between two of them; the target there lies on a smooth curve through
the rows, so a chunk of 50 Hz rows plays at any control rate. (Straight lines would change velocity from one tick to the
next at each row: at 500 Hz the acceleration limit would then cut most ticks of a harmless motion.)

    row        0       1       2       3         horizon 4
               |-------|-------|-------|=======> the last row is held, and counted as starved
    target     r0 .... r1 .... r2 .... r3 r3 r3
"""

import math
from typing import Any, Literal, final

import numpy as np

from dualsys.messages import ActionChunk, FloatArray
from dualsys.protocols import ChunkPolicy

ChunkProblem = Literal["shape", "finite", "timing"]

ROW_ROUNDING = 1e-6
"""Rows by which a position may pass the last row through rounding and still be on it."""

LARGEST_ROW = 1e9
"""Radians or metres no robot is asked for; up to here arithmetic on rows cannot overflow."""


def target_at(rows: FloatArray, position: float) -> FloatArray:
    """Target at a position in rows, `(nu,)`: on a monotone cubic through the rows, held at the first and last.

    Each row is met exactly, the velocity is continuous, and the target lies between its two neighbouring rows: a
    turning point of the curve is always a row. Tangents are harmonic means of the neighbouring slopes (Fritsch and
    Butland, SIAM J. Sci. Stat. Comput. 5 (1984)).

    Args:
        rows: `(horizon, nu)`.
        position: Any number; below 0 gives the first row, beyond the last row the last.
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
    # Hermite's form about the straight line, which is exact at both rows.
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
    if not (np.abs(rows) <= LARGEST_ROW).all():  # false for what is not a number, too
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


@final
class Naive:
    """A new chunk starts at its row 0 when it arrives, however late that is.

        observation          arrival
             |    inference     |
    old      5    6    7    8   9
    new                         0    1    2     rows 0, 1 .. were meant for 4 rows ago: the arm is pulled back
    """

    def first_row(self, consumed_rows: float) -> float:
        """Always row 0."""
        del consumed_rows
        return 0.0


@final
class SkipByDelay:
    """A new chunk starts behind the rows that were consumed while it was made.

        observation          arrival
             |    inference     |
    old      5    6    7    8   9
    new      0    1    2    3   4    5    6     starts at row 4: four rows were consumed since its observation

    Consumed rows are counted at the play position: time in which the arm was held, starved or had not started consumes
    none, so nothing that was never moved is skipped. Wall time times a nominal rate would skip it.
    """

    def first_row(self, consumed_rows: float) -> float:
        """As many rows as were consumed since the chunk's observation."""
        return consumed_rows


def build_policy(name: str) -> ChunkPolicy:
    """Chunk policy by its registered name. Raises `ConfigError` for an unknown one, naming the closest."""
    from dualsys.registry import load

    policy: ChunkPolicy = load("chunk_policies", name)()
    return policy
