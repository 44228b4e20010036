"""Statistics of a feature in LeRobot's shape: min, max, mean, std, count and five quantiles.

Numbers are exact (LeRobot's own recorder approximates quantiles by histograms). Images are counted in 256 bins a
channel, so theirs are exact for the distinct frames too. NaN marks absent entries and is left out.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dualsys.messages import ImageArray

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
NAMES = ("min", "max", "mean", "std", "count", *(f"q{round(100 * q):02d}" for q in QUANTILES))
Statistics = dict[str, NDArray[np.float64]]


def column_statistics(values: NDArray[np.generic]) -> Statistics:
    """Statistics of `(n,)` or `(n, ...)` along the rows; `(1,)` for scalars, zeros where a column is all NaN."""
    rows = np.asarray(values, dtype=np.float64)
    rows = rows.reshape(len(rows), -1)
    absent = np.isnan(rows).any(axis=0)
    found = {name: np.zeros(rows.shape[1]) for name in NAMES}
    _fill(found, rows[:, ~absent], np.flatnonzero(~absent))
    for column in np.flatnonzero(absent):
        present = rows[~np.isnan(rows[:, column]), column]
        if len(present):
            _fill(found, present[:, None], np.array([column]))
    return found | {"count": np.array([len(rows)], dtype=np.float64)}


def _fill(found: Statistics, rows: NDArray[np.float64], columns: NDArray[np.intp]) -> None:
    found["min"][columns] = rows.min(axis=0)
    found["max"][columns] = rows.max(axis=0)
    found["mean"][columns] = rows.mean(axis=0)
    found["std"][columns] = rows.std(axis=0)
    for q, values in zip(QUANTILES, np.quantile(rows, QUANTILES, axis=0), strict=True):
        found[f"q{round(100 * q):02d}"][columns] = values


def image_statistics(frames: ImageArray) -> Statistics:
    """Statistics of `(f, h, w, 3)` by channel, in [0, 1], each of shape `(3, 1, 1)`."""
    histogram = np.stack([np.bincount(frames[..., c].ravel(), minlength=256) for c in range(3)])
    levels = np.arange(256) / 255.0
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ levels
    std = np.sqrt(np.maximum(weights @ levels**2 - mean**2, 0.0))
    cumulative = np.cumsum(weights, axis=1)
    found = {
        "min": np.array([levels[np.flatnonzero(h)[0]] for h in histogram]),
        "max": np.array([levels[np.flatnonzero(h)[-1]] for h in histogram]),
        "mean": mean,
        "std": std,
    }
    found |= {f"q{round(100 * q):02d}": levels[np.argmax(cumulative >= q - 1e-12, axis=1)] for q in QUANTILES}
    shaped = {name: value.reshape(3, 1, 1) for name, value in found.items()}
    return shaped | {"count": np.array([len(frames)], dtype=np.float64)}


def pooled_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Statistics of a union from its parts: exact, but quantiles are the parts' envelope, as in LeRobot."""
    counts = np.stack([part["count"] for part in parts])
    shape = (-1, *(1,) * parts[0]["mean"].ndim)
    weights = counts.reshape(shape) / counts.sum()
    means = np.stack([part["mean"] for part in parts])
    mean = (means * weights).sum(axis=0)
    variance = ((np.stack([part["std"] for part in parts]) ** 2 + (means - mean) ** 2) * weights).sum(axis=0)
    pooled = {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": counts.sum(axis=0),
    }
    for q in QUANTILES:
        name = f"q{round(100 * q):02d}"
        envelope = np.min if q <= 0.5 else np.max
        pooled[name] = envelope([part[name] for part in parts], axis=0)
    return pooled
