"""What a check says about a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Rows of one episode, counted from its start; `what` is the joint, camera or the like."""

    episode: int
    first_row: int
    last_row: int
    what: str = ""

    def __str__(self) -> str:
        rows = f"row {self.first_row}" if self.first_row == self.last_row else f"rows {self.first_row}-{self.last_row}"
        return f"episode {self.episode}, {rows}" + (f": {self.what}" if self.what else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's result. `skip`: the dataset has nothing to judge it by."""

    check: str
    verdict: Verdict
    summary: str
    """What was measured."""
    where: tuple[Place, ...] = ()
    mend: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "check": self.check,
            "verdict": self.verdict,
            "summary": self.summary,
            "where": [str(place) for place in self.where],
            "mend": self.mend,
        }


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where `(n,)` is true without a break, as `[first, stop)`.

    mask  0 1 1 0 1   ->  [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def places_of(mask: NDArray[np.bool_], lengths: NDArray[np.int64], what: str = "") -> list[Place]:
    """Runs of true rows `(N,)`, episode by episode."""
    found = []
    start = 0
    for episode, length in enumerate(lengths.tolist()):
        for first, stop in runs(mask[start : start + length]):
            found.append(Place(episode=episode, first_row=first, last_row=stop - 1, what=what))
        start += length
    return found


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """`fail` before `warn` before `pass` before `skip`; `pass` for none."""
    order: tuple[Verdict, ...] = ("fail", "warn", "pass", "skip")
    return next((verdict for verdict in order if verdict in verdicts), "pass")
