"""What a planner is shown at each row of a dataset: pictures, words, and the state where it is told that."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualsys.data.reader import DemonstrationDataset
from dualsys.messages import Observation

_ROWS_IN_DIGEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerViews:
    """Rows of a dataset as a planner's observations. Rows that show it the same are one view."""

    data: DemonstrationDataset
    cameras: Sequence[str]
    """Of the dataset's, those that the planner looks through."""
    reads_state: bool
    """Whether the planner is told the state: then every row is a view of its own."""

    def at(self, rows: NDArray[np.int64]) -> list[Observation]:
        """What is seen at some rows."""
        tracks = {name: self.data.cameras[name] for name in self.cameras}
        episodes = self.data.episode_of_row
        return [
            Observation(
                stamp_s=0.0,
                state=self.data.states[row].astype(np.float64),
                images={name: np.array(track.frames[int(track.frame_of_row[row])]) for name, track in tracks.items()},
                instruction=self.data.instructions[episodes[row]],
            )
            for row in rows
        ]

    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A row `(V,)` of each view, and the number of each row's view `(N,)`."""
        rows = np.arange(len(self.data))
        if self.reads_state:
            return rows, rows
        shown = [self.data.cameras[name].frame_of_row for name in self.cameras]
        _, first, number = np.unique(
            np.stack([self.data.episode_of_row, *shown], axis=1), axis=0, return_index=True, return_inverse=True
        )
        return first.astype(np.int64), number.reshape(-1).astype(np.int64)

    def digest(self) -> str:
        """Of words, of which row shows what, and of frames and states all through the dataset."""
        some = np.unique(np.linspace(0, len(self.data) - 1, _ROWS_IN_DIGEST).astype(np.int64))
        digest = hashlib.sha256(json.dumps([self.data.instructions, list(self.cameras)]).encode())
        digest.update(self.data.episode_of_row.tobytes())
        for name in self.cameras:
            digest.update(self.data.cameras[name].frame_of_row.tobytes())
        for seen in self.at(some):
            digest.update(seen.state.tobytes() if self.reads_state else b"")
            for image in seen.images.values():
                digest.update(image.tobytes())
        return digest.hexdigest()
