"""Actions scaled to [-1, 1] when they are imported, as those do who train on many robots at once.

What a dimension's actions are mostly between goes to -1 and 1, and what lies beyond is cut off. The scale stands in the
provenance, so that a policy's actions can be turned back. Source: OpenVLA and Octo (`bounds_q99`, `bounds`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.source import ForeignEpisode

Scaling = Literal["none", "bounds", "bounds-q99"]
"""`bounds`: the smallest and the largest action go to -1 and 1; `bounds-q99`: the 1 % and 99 % quantiles."""
_EDGES = {"bounds": (0.0, 1.0), "bounds-q99": (0.01, 0.99)}


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActionScale:
    """What goes to -1 and 1."""

    kind: Scaling
    low: NDArray[np.float32]
    """`(nu,)`."""
    high: NDArray[np.float32]
    """`(nu,)`."""

    @classmethod
    def of(cls, kind: Scaling, episodes: Iterable[ForeignEpisode], *, gripper: bool) -> Self:
        """The scale of all actions of these; a last one that is a gripper's word between 0 and 1 has these bounds."""
        actions = np.concatenate([episode.actions for episode in episodes])
        low, high = np.quantile(actions, _EDGES[kind], axis=0).astype(np.float32)
        if gripper and np.all((actions[:, -1] >= 0) & (actions[:, -1] <= 1)):
            low[-1], high[-1] = 0.0, 1.0
        still = high <= low  # a dimension that never moved stays where it is, at 0
        return cls(kind=kind, low=np.where(still, low - 1, low), high=np.where(still, high + 1, high))

    def episode(self, episode: ForeignEpisode) -> ForeignEpisode:
        """With actions in [-1, 1]."""
        share = (episode.actions - self.low) / (self.high - self.low)
        return replace(episode, actions=np.clip(2 * share - 1, -1, 1).astype(np.float32))

    def told(self) -> dict[str, Any]:
        """For the provenance."""
        return {"kind": self.kind, "low": self.low.tolist(), "high": self.high.tolist()}
