"""What a row of motion says: where a joint is to be, or by how much it is to move; and from each to the other.

    joint        positions, as commands are
    delta        difference to where the robot is when the chunk begins (openpi's `DeltaActions`, GR00T's relative)
    step-delta   difference to the row before; the first row's to where the robot is

A mask tells which dimensions are relative: grippers and hands usually stay absolute, as in openpi's delta mask. Joints
that turn without end are told by `wraps`: their differences are the short way around, and a position may come back by
whole turns away. End-effector poses come from a robot's kinematics (`dualsys.sim_envs.end_effector`) and are made
relative by `relative_pose`.

Pure functions. Shape legend: A action rows, U actions; leading axes may stand before.
"""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dualsys.messages import FloatArray
from dualsys.rotations import matrix_of_sixd, sixd_of_matrix, wrap_angle

Representation: TypeAlias = Literal["joint", "delta", "step-delta"]
Mask: TypeAlias = npt.NDArray[np.bool_]


def represented(
    rows_AU: FloatArray,
    present_U: FloatArray,
    representation: Representation,
    mask_U: Mask,
    wraps_U: Mask | None = None,
) -> FloatArray:
    """Positions `(..., A, U)` as the representation has them.

    Args:
        rows_AU: Positions, in the joints' units.
        present_U: Where the robot is as the chunk begins, `(..., U)`.
        representation: Which.
        mask_U: True where it is relative; the others stay positions.
        wraps_U: True where a joint turns without end, in radians; None: nowhere.
    """
    if representation == "joint":
        return np.array(rows_AU)
    start_1U = present_U[..., None, :]
    before_AU = start_1U if representation == "delta" else np.concatenate([start_1U, rows_AU[..., :-1, :]], axis=-2)
    moved_AU = rows_AU - before_AU
    if wraps_U is not None:
        moved_AU = np.where(wraps_U, wrap_angle(moved_AU), moved_AU)
    return np.where(mask_U, moved_AU, rows_AU)


def positions(rows_AU: FloatArray, present_U: FloatArray, representation: Representation, mask_U: Mask) -> FloatArray:
    """Positions `(..., A, U)` of represented rows: the inverse of `represented`, but for whole turns."""
    if representation == "joint":
        return np.array(rows_AU)
    moved_AU = rows_AU if representation == "delta" else np.cumsum(rows_AU, axis=-2)
    return np.where(mask_U, present_U[..., None, :] + moved_AU, rows_AU)


def relative_pose(pose_A9: FloatArray, base_9: FloatArray) -> FloatArray:
    """Poses `(..., 9)`, position in metres and six numbers of rotation, as seen from another pose `(9,)`."""
    turned, base = matrix_of_sixd(pose_A9[..., 3:]), matrix_of_sixd(base_9[..., 3:])
    place = np.einsum("...ji,...j->...i", base, pose_A9[..., :3] - base_9[..., :3])
    return np.concatenate([place, sixd_of_matrix(np.swapaxes(base, -1, -2) @ turned)], axis=-1)


def absolute_pose(pose_A9: FloatArray, base_9: FloatArray) -> FloatArray:
    """The inverse of `relative_pose`; rotations come back orthonormal."""
    turned, base = matrix_of_sixd(pose_A9[..., 3:]), matrix_of_sixd(base_9[..., 3:])
    place = base_9[..., :3] + np.einsum("...ij,...j->...i", base, pose_A9[..., :3])
    return np.concatenate([place, sixd_of_matrix(base @ turned)], axis=-1)
