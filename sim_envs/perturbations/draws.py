"""Random numbers of perturbations: each kind draws from a stream of its own, named, of the episode's seed.

So adding a kind changes nothing of what another draws; and what belongs to a moment is drawn from a stream of that
moment, so that it doesn't matter who looked at what before.
"""

import math
import zlib

import numpy as np

from dualsys.messages import FloatArray


def stream(seed: int, kind: str, *moment: int) -> np.random.Generator:
    """The stream of a kind in an episode, or in a moment of it (numbers of channel, window, step ...)."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), *moment])


def factor(rng: np.random.Generator, change: float) -> float:
    """From 1 / (1 + change) to 1 + change, as often above 1 as below; exactly 1 for no change."""
    return math.exp(rng.uniform(-1.0, 1.0) * math.log1p(change))


def direction(rng: np.random.Generator) -> FloatArray:
    """A unit vector `(3,)`, all directions equally likely."""
    vector: FloatArray = rng.normal(size=3)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def rotation(axis: FloatArray, angle_rad: float) -> FloatArray:
    """The matrix `(3, 3)` that turns by an angle about a unit axis `(3,)` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: FloatArray = np.eye(3) + math.sin(angle_rad) * cross + (1.0 - math.cos(angle_rad)) * cross @ cross
    return matrix
