"""Rows at another rate: what datasets need that are to be trained on together.

    theirs   |-----|-----|-----|         3 Hz
    ours     |--|--|--|--|--|--|--       6 Hz

States, and actions that are positions, lie on straight lines between their rows. Actions that are changes are shares or
sums of theirs: after any time the changes so far add up to the same. A gripper's word, and a picture, hold until the
next. What lies behind the last row is not made up.
"""

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.source import ForeignEpisode
from dualsys.messages import FloatArray, ImageArray

KindOfActions = Literal["positions", "changes", "changes-and-gripper"]
"""Where to be; by how much to move until the next row; that, and last what the gripper is to be."""
ActionsAre = Literal["as-known", "positions", "changes", "changes-and-gripper"]
"""What is said of a source's actions; `as-known`: what it says itself."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """From a source's rate to another."""

    source_fps: float
    fps: int
    kind: KindOfActions

    def episode(self, episode: ForeignEpisode) -> ForeignEpisode:
        """Its rows at the new rate."""
        places = self._places(len(episode.states))
        actions = between(episode.actions, places)
        if self.kind != "positions":
            actions = changes_between(episode.actions, places, self.source_fps / self.fps)
        if self.kind == "changes-and-gripper":
            actions[:, -1] = episode.actions[_newest(places), -1]
        return replace(episode, states=between(episode.states, places), actions=actions)

    def pictures(self, pictures: ImageArray) -> ImageArray:
        """At each new row the newest `(n, h, w, 3)` that there was."""
        return pictures[_newest(self._places(len(pictures)))]

    def _places(self, rows: int) -> FloatArray:
        """Where each new row lies among the old ones."""
        count = int(np.floor((rows - 1) * self.fps / self.source_fps + 1e-9)) + 1 if rows else 0
        return np.arange(count) * self.source_fps / self.fps


def _newest(places: FloatArray) -> NDArray[np.int64]:
    return np.floor(places + 1e-9).astype(np.int64)


def between(rows: NDArray[np.float32], places: FloatArray) -> NDArray[np.float32]:
    """Rows `(n, m)` at fractional places `(k,)` among themselves, on straight lines: `(k, m)`."""
    grid = np.arange(len(rows))
    return np.stack([np.interp(places, grid, column) for column in rows.T], axis=1).astype(np.float32)


def changes_between(rows: NDArray[np.float32], places: FloatArray, step: float) -> NDArray[np.float32]:
    """Changes `(n, m)`, each until the next row, made changes `(k, m)` at places `(k,)` that are `step` rows apart."""
    sums = np.vstack([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0, dtype=np.float64)])
    grid = np.arange(len(sums))
    edges = np.append(places, places[-1] + step)
    reached = np.stack([np.interp(edges, grid, column) for column in sums.T], axis=1)
    return np.diff(reached, axis=0).astype(np.float32)
