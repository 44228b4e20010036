"""Chunk policies: at which row a new chunk starts, what becomes of the old one's rows, what the actor is told.

All are pure. The core calls them when a chunk arrives (`dualsys.playhead`) and when it asks for one. In the drawings a
chunk is computed for four rows (its inference delay); `o` is a row of the old chunk, `n` of the new one, `x` a mixture.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np

from dualsys.chunking import ROW_ROUNDING, Columns, rows_from
from dualsys.messages import FloatArray, Guidance
from dualsys.protocols import ChunkPolicy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A chunk's rows, and which of them is due at the present moment."""

    rows: FloatArray
    """`(horizon, nu)`"""
    row: float
    """Due now; may lie between two rows."""
    stepped: Columns | None = None
    """Columns `(nu,)` that keep a row until the next instead of going smoothly from one to the other; None: none."""


@final
class Naive:
    """A new chunk starts at its row 0 when it arrives, however late that is.

        observation          arrival
             |    inference     |
    old      5    6    7    8   9
    new                         0    1    2     rows 0, 1 .. were meant for 4 rows ago: the arm is pulled back
    """

    guidance: Guidance | None = None

    def first_row(self, consumed_rows: float) -> float:
        """Always row 0."""
        del consumed_rows
        return 0.0

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        """The new rows as they are."""
        del playing, earlier
        return arrived.rows


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

    guidance: Guidance | None = None

    def first_row(self, consumed_rows: float) -> float:
        """As many rows as were consumed since the chunk's observation."""
        return consumed_rows

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        """The new rows as they are."""
        del playing, earlier
        return arrived.rows


@final
@dataclass(frozen=True, slots=True)
class TemporalEnsemble:
    """Every row is the mean of what all chunks say of its moment (ACT, arXiv 2304.13705, section 4.2).

    oldest   o o o o o o o o
    older          o o o o o o o o
    new                  n n n n n n n n
    played               x x x x x x n n     weights exp(-m i), i = 0 for the oldest chunk that reaches so far

    Smooth, and slow to change its mind: with `m` at ACT's 0.01 the newest chunk counts no more than any other.
    """

    m: float = 0.01
    """Weight lost from one chunk to the next newer one."""
    guidance: Guidance | None = None

    def first_row(self, consumed_rows: float) -> float:
        """As many rows as were consumed since the chunk's observation."""
        return consumed_rows

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        """Weighted mean of the new rows and those that earlier chunks have for the same moments."""
        del playing
        first = math.floor(arrived.row)
        total, weights = np.zeros_like(arrived.rows), np.zeros((len(arrived.rows), 1))
        for index, chunk in enumerate((*earlier, arrived)):
            # Rows beyond a chunk's last are nobody's: held on, they would drag the mean back.
            start, rows = _beside(arrived, chunk, first)
            weight = math.exp(-self.m * index)
            total[start : start + len(rows)] += weight * rows
            weights[start : start + len(rows)] += weight
        return np.where(weights > 0, total / np.where(weights > 0, weights, 1.0), arrived.rows)


@final
@dataclass(frozen=True, slots=True)
class CrossFade:
    """The old chunk's rows give way to the new one's by degrees, from nothing at the seam; the actor is not told.

        observation          arrival
    old      o    o    o    o   o    o    o    o
    new      n    n    n    n   n    n    n    n    n    n
    played   o    o    o    o   x    x    x    x    n    n     at arrival it is the old row still
    """

    rows: int = 6
    """From the old chunk alone to the new one alone."""
    guidance: Guidance | None = None

    def first_row(self, consumed_rows: float) -> float:
        """As many rows as were consumed since the chunk's observation."""
        return consumed_rows

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        """Old rows, fading into the new ones; where no row was consumed there is no seam, and nothing is faded."""
        del earlier
        if arrived.row == 0.0:
            return arrived.rows
        # A row before and a row behind the seam stay old, too: the curve through the rows looks at both.
        start, old = _beside(arrived, playing, max(math.floor(arrived.row) - 1, 0))
        held = np.repeat(playing.rows[-1:], max(len(arrived.rows) - start - len(old), 0), axis=0)
        behind = np.arange(start, len(arrived.rows)) - (math.ceil(arrived.row) + 1)
        share = np.clip(behind / self.rows, 0.0, 1.0)[:, None]
        joined = arrived.rows.copy()
        joined[start:] = (1.0 - share) * np.concatenate([old, held]) + share * arrived.rows[start:]
        return joined


@final
@dataclass(frozen=True, slots=True)
class Continuing:
    """The actor is told which rows run while it computes, and makes its chunk go on from them.

        observation          arrival
             |    inference     |
    old      o    o    o    o   o    o    o
    told     o    o    o    o   o    o    o          with how many will be consumed: 4
    new     (n    n    n    n)  n    n    n    n     begins where the old one is; skipped as by `SkipByDelay`

    How well the ends meet, and at what price, is the guidance's matter: the functions below draw what becomes of the
    new rows in each, `dualsys.actor.guidance` does it.
    """

    guidance: Guidance | None

    def first_row(self, consumed_rows: float) -> float:
        """As many rows as were consumed since the chunk's observation."""
        return consumed_rows

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        """The new rows as they are."""
        del playing, earlier
        return arrived.rows


def real_time_chunking() -> Continuing:
    """Each flow step is pulled towards the old rows, by less the further they lie ahead (arXiv 2506.07339).

                  skipped     | played
        pull      1  1  1  1    .5 .2 .05 0  0  0     1 for the delay, falling to 0 behind the last row told
        new       x  x  x  x    x  x  x   n  n  n     near the old rows, not equal to them

    With the identity in place of the denoiser's Jacobian, as LeRobot has it: as cheap as no guidance, less exact.
    """
    return Continuing(guidance="identity")


def real_time_chunking_jacobian() -> Continuing:
    """The same pull, taken back through the denoiser, as published (arXiv 2506.07339, algorithm 1).

                  skipped     | played
        pull      1  1  1  1    .5 .2 .05 0  0  0
                  <----------- denoiser -----------   what is off in one row moves all the rows that go with it
        new       x  x  x  x    x  x  x   x  x  n

    Rows behind those that were told are moved, too, so that the chunk stays one motion; at two to three times the cost.
    """
    return Continuing(guidance="jacobian")


def trained_prefix() -> Continuing:
    """Rows of the delay are given as they are, to an actor that was trained so (arXiv 2512.05964).

                  skipped     | played
        flow time 1  1  1  1    t  t  t  t  t  t      given rows are clean from the first flow step on
        new       o  o  o  o    n  n  n  n  n  n      equal to the old rows as far as the delay, then the actor's own

    Nothing but the delay's rows is held: behind them the actor goes on as it has learned to.
    """
    return Continuing(guidance="trained-prefix")


def freeze_and_ramp() -> Continuing:
    """Old rows stand in for noise: those of the delay are frozen, the ones behind let go by degrees (GR00T N1.7).

                  skipped     | played
        velocity  0  0  0  0    .8 .9 1  1  1  1      share of the flow's that a row follows
        begins    o  o  o  o    o  o  o  ~  ~  ~      as an old row, or as noise
        new       o  o  o  o    x  x  x  n  n  n

    As cheap as no guidance, for any actor; a row that begins as an old one and follows the flow is not a sample of it.
    """
    return Continuing(guidance="freeze-and-ramp")


def roll_forward() -> Continuing:
    """The actor sees the state as it will be when its chunk begins (VLASH, arXiv 2512.01031).

            observation          arrival
                 |    inference     |
        old      o    o    o    o   o
        state    s - - - - - - - -> s'                   moved on by what the rows move it
        new     (o    o    o    o)  n    n    n    n     the delay's rows are the old ones, put before the actor's own

    The actor's own row 0 is the one at the arrival; of its last rows as many are cut off as stand before it. Its flow
    is as ever, at the cost of no guidance, and nothing but the state ties the ends together.
    """
    return Continuing(guidance="roll-forward")


def _beside(arrived: Placed, other: Placed, start: int) -> tuple[int, FloatArray]:
    """What another chunk has for the moments of the new one's rows from `start` on: the first of them, and its rows."""
    position = other.row - (arrived.row - start)
    missing = max(0, math.ceil(-position - ROW_ROUNDING))
    rows = rows_from(other.rows, max(position + missing, 0.0), other.stepped)
    return start + missing, rows[: max(len(arrived.rows) - start - missing, 0)]


def build_policy(name: str) -> ChunkPolicy:
    """Chunk policy by its registered name. Raises `ConfigError` for an unknown one, naming the closest."""
    from dualsys.registry import load

    policy: ChunkPolicy = load("chunk_policies", name)()
    return policy
