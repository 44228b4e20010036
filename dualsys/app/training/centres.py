"""What the helpers of `helpers.py` count positions from: the middle of where a robot's objects lie."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dualsys.app.recording import BLOCK_POSITIONS, HAND_TARGETS
from dualsys.data.reader import DemonstrationDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Centres:
    """Of each column of positions, in metres. Those of one robot share theirs: no robot is told of another's table."""

    targets_T3: NDArray[np.float64]
    """Of hands' targets."""
    kinds_O3: NDArray[np.float64]
    """Of kinds of object whose places are known."""

    @classmethod
    def of(cls, data: DemonstrationDataset) -> Self:
        """Zeros for robots whose objects' places were not recorded."""
        targets = _positions(data, HAND_TARGETS, 1)
        kinds = _positions(data, BLOCK_POSITIONS, 0)
        if data.robot_of_episode is None:
            middle = _middle(kinds)
            return cls(targets_T3=np.tile(middle, (targets.shape[1], 1)), kinds_O3=np.tile(middle, (kinds.shape[1], 1)))
        centres = cls(targets_T3=np.zeros(targets.shape[1:]), kinds_O3=np.zeros(kinds.shape[1:]))
        robot_of_row = np.repeat(data.robot_of_episode, data.episode_lengths)
        for robot in range(len(data.robots)):
            own = robot_of_row == robot
            for columns, positions in ((centres.targets_T3, targets), (centres.kinds_O3, kinds)):
                columns[np.isfinite(positions[own]).any(axis=(0, 2))] = _middle(kinds[own])
        return centres


def _positions(data: DemonstrationDataset, name: str, columns: int) -> NDArray[np.float32]:
    """`(rows, columns, 3)`; NaN where nobody knows."""
    known = data.extras.get(name, np.full((len(data), 3 * columns), np.nan, np.float32))
    return known.reshape(len(data), -1, 3)


def _middle(positions_NO3: NDArray[np.float32]) -> NDArray[np.float64]:
    known = positions_NO3[np.isfinite(positions_NO3).all(axis=-1)]
    return known.mean(axis=0, dtype=np.float64) if len(known) else np.zeros(3)
