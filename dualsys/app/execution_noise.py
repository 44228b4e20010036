"""Pushes the executed motion off the expert's path while the recorded target stays clean.

The data then shows states the expert would not get into by itself, with the way back: what a learner needs, whose own
errors take it there (DART: Laskey et al., "Noise Injection for Robust Imitation Learning", 2017).
"""

import numpy as np

from dualsys.messages import FloatArray

CORRELATION_S = 0.25
"""The noise wanders rather than shakes: servos would filter white noise out."""
_STREAM = 7919


class ExecutionNoise:
    """An Ornstein-Uhlenbeck process a joint; its size is drawn anew for each episode, from none to twice the mean."""

    def __init__(self, mean_rad: float, dt_s: float) -> None:
        """`mean_rad`: mean over episodes of the standard deviation; 0 is silent."""
        self._mean_rad = mean_rad
        self._keep = float(np.exp(-dt_s / CORRELATION_S))
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode; the same seed gives the same noise."""
        self._rng = np.random.default_rng([seed, _STREAM])
        self._scale_rad = self._rng.uniform(0.0, 2.0 * self._mean_rad)
        self._value: FloatArray | None = None

    def push(self, target: FloatArray) -> FloatArray:
        """The target as it is sent. The noise grows from nothing, as it does in one correlation time."""
        if self._value is None:
            self._value = np.zeros_like(target)
        fresh = self._rng.normal(size=target.shape) * self._scale_rad * np.sqrt(1.0 - self._keep**2)
        self._value = self._keep * self._value + fresh
        return target + self._value
