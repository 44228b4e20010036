"""`PackedSampler`: PyTorch as it stands, over a copy of the expert whose weights are packed. For any expert, on a
processor, ready in a second or two; it takes the memory of the weights once more.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dualsys.actor.experts import FlowExpert
from dualsys.actor.packed_layers import packed
from dualsys.actor.sampling import Array, EagerSampler, Moment


class PackedSampler:
    """Rows through packed products. A `dualsys.actor.sampling.Sampler`."""

    version = 0
    """The weights never change."""

    def __init__(self, expert: FlowExpert) -> None:
        """Raises `ConfigError` for weights that aren't float32 on a processor."""
        robot = int(getattr(expert.config, "robot", 0))
        self._inner = EagerSampler(packed(expert, rows=expert.config.horizon, category=robot))

    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """Keys and values."""
        return self._inner.remember(tokens_KC, mask_K)

    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        return self._inner.sample(memory, moment)
