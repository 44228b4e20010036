"""Statistics that map physical units to the range models like, and back. Saved with the weights, never recomputed.

Mean and standard deviation by default (LeRobot's `MEAN_STD`). A dimension that never moved in the data (a finger held
still) would be divided by nearly nothing, so deviations are floored.
"""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from dualsys.messages import FloatArray

MIN_DEVIATION = 1e-2


class Statistics(BaseModel):
    """Of one vector quantity over a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} entries, std {len(self.std)}")
        if not all(np.isfinite([*self.mean, *self.std])) or min(self.std, default=1.0) <= 0:
            raise ValueError("statistics must be finite, deviations positive")
        return self

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """Of `(n, d)` values."""
        std = np.maximum(values.std(axis=0, dtype=np.float64), MIN_DEVIATION)
        mean = values.mean(axis=0, dtype=np.float64)
        return cls(mean=tuple(map(float, mean)), std=tuple(map(float, std)))

    def normalize(self, values: FloatArray) -> FloatArray:
        """Physical to normalised, over the last axis."""
        scaled: FloatArray = (values - np.array(self.mean)) / np.array(self.std)
        return scaled

    def denormalize(self, values: FloatArray) -> FloatArray:
        """Normalised to physical, over the last axis."""
        physical: FloatArray = values * np.array(self.std) + np.array(self.mean)
        return physical


class ControllerStatistics(BaseModel):
    """What a checkpoint keeps: `statistics.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Statistics
    action: Statistics
