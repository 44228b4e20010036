"""Orientations in three forms, and back: matrix, quaternion, and six numbers that a network can put out.

Six numbers are the first two columns of the matrix (Zhou et al., arXiv 1812.07035): unlike angles and quaternions they
have no jump anywhere, and any six numbers mean a rotation as long as they aren't parallel. Quaternions are MuJoCo's:
`w x y z`, of unit length; `q` and `-q` mean the same, and the one with `w >= 0` is given.

All functions take leading axes `...`. Angles are radians.
"""

import numpy as np

from dualsys.messages import FloatArray

_SMALL = 1e-9


def wrap_angle(angle: FloatArray) -> FloatArray:
    """The same direction in [-pi, pi)."""
    wrapped: FloatArray = (angle + np.pi) % (2 * np.pi) - np.pi
    return wrapped


def sixd_of_matrix(matrix: FloatArray) -> FloatArray:
    """`(..., 6)` of `(..., 3, 3)`: first column, then the second."""
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def matrix_of_sixd(sixd: FloatArray) -> FloatArray:
    """`(..., 3, 3)` of any `(..., 6)`, made orthonormal. Raises `ValueError` for parallel halves."""
    first = _unit(sixd[..., :3])
    second = sixd[..., 3:] - (first * sixd[..., 3:]).sum(axis=-1, keepdims=True) * first
    second = _unit(second)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def matrix_of_quaternion(quaternion: FloatArray) -> FloatArray:
    """`(..., 3, 3)` of `(..., 4)` of any length but nothing. Raises `ValueError` for zeros."""
    w, x, y, z = np.moveaxis(_unit(quaternion), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_of_matrix(matrix: FloatArray) -> FloatArray:
    """`(..., 4)` of `(..., 3, 3)`, with `w >= 0`. From the largest of the four, so that nothing small is divided by."""
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row i is the quaternion times four times its i-th number (Bar-Itzhack's symmetric matrix, plus one).
    rows = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    four = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.argmax(np.diagonal(four, axis1=-2, axis2=-1), axis=-1)
    chosen = np.take_along_axis(four, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion: FloatArray = _unit(chosen) * np.where(chosen[..., :1] < 0, -1.0, 1.0)
    return quaternion


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if np.any(length < _SMALL):
        raise ValueError("no direction: a vector of length zero, or two that are parallel, mean no rotation")
    unit: FloatArray = vectors / length
    return unit
