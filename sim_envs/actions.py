"""What a step is given, checked."""

import numpy as np

from dualsys.errors import SpecMismatch
from dualsys.messages import FloatArray


def checked_action(action: FloatArray, count: int, takes: str) -> FloatArray:
    """An action `(count,)` as float64. Raises `SpecMismatch` for another shape, or numbers that are none.

    Args:
        action: What `step` was given.
        count: Numbers of an action.
        takes: The task and what it takes, for the message: `humanoid/touch takes 28 finite joint positions`.
    """
    action = np.asarray(action, dtype=np.float64)
    if action.shape != (count,) or not np.all(np.isfinite(action)):
        raise SpecMismatch(f"{takes}, got shape {action.shape}: {action}")
    return action
