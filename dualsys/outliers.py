"""Chunks that no healthy actor makes: they begin where the robot cannot be, or jump between their rows.

    command  o                          refused: the row that would be played now is out of reach
                       .--.--.--.
    command  o--.--.                    refused: between two rows a joint would move faster than it ever may
                       .--.--.

The bounds are generous: what is merely fast is the gate's to slow. A joint without a velocity limit has no bounds.
"""

import math
from typing import Literal

import numpy as np

from dualsys.chunking import target_at
from dualsys.messages import ActionChunk, FloatArray
from dualsys.settings import CoreConfig

_ROUNDING = 1e-6


def is_outlier(
    chunk: ActionChunk, row: float, target: FloatArray, max_velocity: FloatArray, config: CoreConfig
) -> Literal["outlier"] | None:
    """Whether a chunk is to be refused.

    Args:
        chunk: Of the right shape and finite.
        row: Where it would begin, in rows.
        target: Target `(nu,)` that the motion is at.
        max_velocity: Limits `(nu,)`, infinite where there is none.
        config: How far is too far.
    """
    reach_s = config.outlier_reach_s or math.inf
    step_s = (config.outlier_speed or math.inf) * chunk.dt_s
    begins_far = np.abs(target_at(chunk.rows, row) - target) > max_velocity * reach_s + _ROUNDING
    jumps = np.abs(np.diff(chunk.rows, axis=0)) > max_velocity * step_s + _ROUNDING
    return "outlier" if begins_far.any() or jumps.any() else None
