"""Which row of which chunk is played: pure functions of chunks and counts, no clocks.

The play position is counted in rows and may lie between two of them; the target there is their linear interpolation, so
a chunk of 50 Hz rows plays at any control rate.

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


def target_at(rows: FloatArray, position: float) -> FloatArray:
    """Target at a position in rows, `(nu,)`: linear between rows, held at the first and last.

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
    # This form is exact at both rows and cannot overflow between two finite ones.
    blended: FloatArray = (1.0 - share) * rows[index] + share * rows[index + 1]
    return blended


def problem_of(chunk: ActionChunk, num_actions: int, *, now_s: float) -> ChunkProblem | None:
    """Why a chunk can't be played at a time, or None. Takes whatever an actor may return; never raises."""
    rows: Any = chunk.rows
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
        return "shape"
    if rows.shape[0] < 1 or rows.shape[1] != num_actions:
        return "shape"
    if not np.isfinite(rows).all():
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
