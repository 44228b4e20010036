"""What an action says of the gripper, however it is coded, made one thing: 1 open, 0 closed.

Source: OpenVLA, prismatic/vla/datasets/rlds/utils/data_utils.py (`rel2abs_gripper_actions`,
`binarize_gripper_actions`).
"""

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.rlds_standards import GripperCoding

_CHANGES = 0.1
"""Of a `closing-change`, beyond which it is one."""
_OPEN, _CLOSED = 0.95, 0.05
"""Of a `measured` gripper, beyond which it has arrived."""


def opening(values: NDArray[np.float32], coding: GripperCoding) -> NDArray[np.float32]:
    """`(n,)` as coded to `(n,)` in [0, 1]."""
    made: NDArray[np.floating]
    match coding:
        case "opening":
            made = np.clip(values, 0.0, 1.0)
        case "closing" | "minus-plus":
            made = 1.0 - np.clip(values, 0.0, 1.0)
        case "closing-change":
            made = _held(values)
        case "measured":
            made = _arriving(values)
    return made.astype(np.float32)


def _held(changes: NDArray[np.float32]) -> NDArray[np.float64]:
    """The last change holds; before the first the gripper is where that change takes it from; without any, open."""
    said = np.where(changes > _CHANGES, 0.0, np.where(changes < -_CHANGES, 1.0, np.nan))
    known = np.flatnonzero(~np.isnan(said))
    if len(known) == 0:
        return np.ones(len(changes))
    newest = np.searchsorted(known, np.arange(len(said)), side="right") - 1
    return np.where(newest >= 0, said[known[np.maximum(newest, 0)]], 1.0 - said[known[0]])


def _arriving(openings: NDArray[np.float32]) -> NDArray[np.float64]:
    """On its way the gripper is told what it comes to; where that is beyond the end, what it was at the end."""
    said = np.where(openings > _OPEN, 1.0, np.where(openings < _CLOSED, 0.0, np.nan))
    known = np.flatnonzero(~np.isnan(said))
    following = np.searchsorted(known, np.arange(len(said)), side="left")
    last = float(openings[-1]) if len(openings) else 0.0
    padded = np.append(said[known], last)
    return np.clip(padded[following], 0.0, 1.0)
