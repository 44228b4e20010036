"""Where in which chunk the motion is, and how much of it has been played."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np

from dualsys.chunk_policies import Placed
from dualsys.chunking import LARGEST_ROW, ROW_ROUNDING, Columns, rows_from, target_at
from dualsys.inference_delay import InferenceDelay
from dualsys.messages import ActionChunk, ActionPrefix, Command, CommandSource, FloatArray, Guidance
from dualsys.protocols import ChunkPolicy

SwapProblem = Literal["late", "policy"]

_REMEMBERED = 16
"""Chunks that are remembered as they came: as many as can overlap at a horizon of 32 rows and two rows between them."""
_HISTORY, _HISTORY_S = 512, 10.0
"""Changes of pace that are remembered at least, and for how long: far more than fit into one request's timeout, even
where an old input slows the motion and every tick is a change."""


@final
class Playhead:
    """The play position in the current chunk, and a record of motion played over time.

    `played_s` counts seconds of chunk time that became commands. It stands still while the arm is held or starved:

        played_s          ____/        what was consumed between two times is the difference of the two heights,
                    _____/             not the time between them
              _____/   held
             /
            +--------------------> time

    Args:
        now_s: When it begins.
        stepped: Columns `(nu,)` of a row that last until the next row, True; None: none.
    """

    def __init__(self, now_s: float, stepped: Columns | None = None) -> None:
        self._stepped = stepped
        self.chunk: ActionChunk | None = None
        self.row = -1.0
        """Position in the chunk, in rows; -1 before the first chunk."""
        self.starved = False
        """Whether the chunk has run out."""
        self.seam = 0.0
        """How far the newest chunk's beginning was off the motion before, for the joint that is farthest off."""
        self._arrived: deque[ActionChunk] = deque(maxlen=_REMEMBERED)
        self._delay = InferenceDelay()
        self._played_s = 0.0
        self._history: list[tuple[float, float]] = [(now_s, 0.0)]

    def anew(self, now_s: float) -> "Playhead":
        """One without a chunk and without a motion, which knows from this one how many rows are consumed meanwhile."""
        playhead = Playhead(now_s, self._stepped)
        playhead._delay = self._delay
        return playhead

    def advance(self, now_s: float, elapsed_s: float) -> None:
        """Play on by `elapsed_s` (0: hold) up to the chunk's last row, and note it under `now_s`."""
        if self.chunk is not None and elapsed_s > 0:
            last = self.chunk.horizon - 1
            wanted = self.row + elapsed_s / self.chunk.dt_s
            row = min(wanted, float(last))
            self.starved = wanted > last + ROW_ROUNDING
            # While nothing runs out the sum is of the very times given, so that counts have no rounding of their own.
            self._played_s += elapsed_s if row == wanted else (row - self.row) * self.chunk.dt_s
            self.row = row
        self._remember(now_s)

    def first_row(self, chunk: ActionChunk, policy: ChunkPolicy) -> float | None:
        """Row at which a policy, anybody's, has a chunk begin; None where it fails or says no row."""
        return _first_row(policy, self.consumed_rows(chunk))

    def swap(self, chunk: ActionChunk, policy: ChunkPolicy) -> SwapProblem | None:
        """Play another chunk from its `first_row` on; on a problem the present one goes on."""
        row = self.first_row(chunk, policy)
        if row is None:
            return "policy"
        if row > chunk.horizon - 1 + ROW_ROUNDING:
            return "late"
        row = min(row, chunk.horizon - 1.0)
        arrived = self._placed(chunk, row)
        if self.chunk is None:
            self._delay.guess((self._history[-1][0] - chunk.start_stamp_s) / chunk.dt_s)
            self._play(chunk, arrived)
            return None
        rows = _joined(policy, arrived, self._placed(self.chunk, self.row), self._earlier())
        if rows is None:
            return "policy"
        before = self.target()
        self._delay.add(self.consumed_rows(chunk))
        self._arrived.append(chunk)
        self._play(replace(chunk, rows=rows), arrived)
        self.seam = float(np.abs(self.target() - before).max())
        return None

    def _play(self, chunk: ActionChunk, arrived: Placed) -> None:
        if not self._arrived:
            self._arrived.append(chunk)
        self.chunk, self.row, self.starved = chunk, arrived.row, False

    def _earlier(self) -> Iterator[Placed]:
        """Chunks as they came, oldest first, that still have rows for the present moment; placed as they are drawn."""
        placed = (self._placed(chunk, self.consumed_rows(chunk)) for chunk in self._arrived)
        return (each for each in placed if 0.0 <= each.row <= len(each.rows) - 1)

    def _placed(self, chunk: ActionChunk, row: float) -> Placed:
        return Placed(rows=chunk.rows, row=row, stepped=self._stepped)

    def prefix(self, guidance: Guidance) -> ActionPrefix | None:
        """What will run from now on if nothing else comes; None where nothing does."""
        if self.chunk is None or self.starved:
            return None
        return ActionPrefix(
            rows=rows_from(self.chunk.rows, self.row, self._stepped),
            inference_delay=self._delay.rows(),
            guidance=guidance,
        )

    def consumed_rows(self, chunk: ActionChunk) -> float:
        """Rows consumed since the observation a chunk was made from, in rows of that chunk."""
        return (self._played_s - self._played_at(chunk.start_stamp_s)) / chunk.dt_s

    def target(self) -> FloatArray:
        """Target at the play position `(nu,)`; only when there is a chunk."""
        assert self.chunk is not None
        return target_at(self.chunk.rows, self.row, self._stepped)

    def command(
        self, target: FloatArray, now_s: float, source: CommandSource, limited: tuple[str, ...], *, seam: float
    ) -> Command:
        """Command for a target, with the chunk, row and subgoal that are played, where there is a chunk."""
        chunk = self.chunk
        if chunk is None:
            return Command(target=target, stamp_s=now_s, source=source, limited=limited)
        age_s = now_s - chunk.start_stamp_s
        return Command(
            target=target,
            stamp_s=now_s,
            source=source,
            chunk_sequence=chunk.sequence,
            row=self.row,
            subgoal_sequence=chunk.subgoal_sequence,
            subgoal_epoch=chunk.subgoal_epoch,
            subgoal_age_s=age_s + chunk.subgoal_age_s,
            chunk_age_s=age_s,
            seam=seam,
            limited=limited,
        )

    def _remember(self, now_s: float) -> None:
        history = self._history
        if len(history) >= 2 and _same_slope(history[-2], history[-1], (now_s, self._played_s)):
            history[-1] = (now_s, self._played_s)
        else:
            history.append((now_s, self._played_s))
            if len(history) > 2 * _HISTORY and history[_HISTORY][0] < now_s - _HISTORY_S:
                del history[:_HISTORY]

    def _played_at(self, stamp_s: float) -> float:
        """Motion played by a time: linear between what is remembered, held outside."""
        history = self._history
        behind = bisect_right(history, (stamp_s, math.inf))
        if behind in (0, len(history)):
            return history[max(behind - 1, 0)][1]
        (before_s, before_played_s), (after_s, after_played_s) = history[behind - 1 : behind + 1]
        share = (stamp_s - before_s) / (after_s - before_s)
        return before_played_s + share * (after_played_s - before_played_s)


def _first_row(policy: ChunkPolicy, consumed_rows: float) -> float | None:
    """What a policy, anybody's, says; None where it fails or says no row."""
    try:
        row = float(policy.first_row(consumed_rows))
    except Exception:  # nothing may raise in a tick; the core counts the chunk as refused
        return None
    return row if row >= 0 else None


def _joined(policy: ChunkPolicy, arrived: Placed, playing: Placed, earlier: Iterator[Placed]) -> FloatArray | None:
    """What a policy, anybody's, makes of old and new rows; None where it fails or makes nothing that can be played."""
    try:
        rows: Any = policy.join(arrived, playing, earlier)
        usable = rows.shape == arrived.rows.shape and bool((np.abs(rows) <= LARGEST_ROW).all())
        return np.asarray(rows, dtype=np.float64) if usable else None
    except Exception:  # nothing may raise in a tick; the core counts the chunk as refused
        return None


def _same_slope(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether both pieces hold, or both play at the pace of time: then the middle point says nothing."""
    still = first[1] == middle[1] == last[1]
    return still or (_at_pace(first, middle) and _at_pace(middle, last))


def _at_pace(before: tuple[float, float], after: tuple[float, float]) -> bool:
    return abs((after[1] - before[1]) - (after[0] - before[0])) < 1e-9
