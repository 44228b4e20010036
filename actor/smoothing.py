"""Takes the sampling noise out of a chunk's rows: a local polynomial, fitted around each row.

A few integration steps leave an independent error in each row. Of the size of a hundredth of a radian it means nothing
for the position, but at 50 rows a second its second difference is tens of radians per second squared, several times the
acceleration of the motion itself.

Source: Savitzky and Golay, Analytical Chemistry 36 (1964); ends are read off the first and the last fit.
"""

from functools import cache

import numpy as np

from dualsys.messages import FloatArray

ORDER = 2
"""Degree of the polynomial: constant acceleration passes unchanged."""


@cache
def smoothing_matrix(horizon: int, window: int) -> FloatArray:
    """Matrix `(horizon, horizon)` that replaces each row by the value there of a parabola through `window` rows.

    Args:
        horizon: Rows of a chunk.
        window: Odd number of rows a parabola is fitted to, above `ORDER` and at most `horizon`.

    Raises:
        ValueError: for another window.
    """
    if window % 2 == 0 or not ORDER < window <= horizon:
        raise ValueError(f"window must be odd, above {ORDER} and at most the horizon {horizon}, got {window}")
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1), ORDER + 1, increasing=True).astype(np.float64)
    fit = powers @ np.linalg.pinv(powers)  # row i: weights that give the parabola's value at row i of the window
    matrix = np.zeros((horizon, horizon))
    for row in range(horizon):
        first = min(max(row - half, 0), horizon - window)
        matrix[row, first : first + window] = fit[row - first]
    return matrix
