"""Limits of a motion as the safety gate uses them: the embodiment's, as far as the configuration lets them be used."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import FloatArray
from dualsys.settings import SafetyConfig

FAR, FAST = 1e12, 1e18
"""Stand for infinite limits of positions and of their rates: the formulas then need no cases."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotionLimits:
    """All `(nu,)`, in the joints' units."""

    lower: FloatArray
    upper: FloatArray
    max_velocity: FloatArray
    max_acceleration: FloatArray
    max_jerk: FloatArray
    """Infinite where there is none, unlike the others."""
    dt_s: float
    """Time of a tick."""
    step: FloatArray
    """By how much a velocity may change in a tick: `max_acceleration * dt_s`."""

    @classmethod
    def of(cls, embodiment: EmbodimentSpec, dt_s: float, config: SafetyConfig) -> Self:
        """The share of an embodiment's limits that may be used.

        A joint without a jerk limit of its own takes the configuration's, where it has an acceleration limit: jerk is
        limited by easing accelerations, and an infinite one cannot be.
        """
        max_acceleration = np.minimum(embodiment.max_acceleration * config.acceleration_scale, FAST)
        jerk = embodiment.max_jerk
        if config.max_jerk is not None:
            bounded = np.isfinite(embodiment.max_acceleration)
            jerk = np.where(np.isinf(jerk) & bounded, config.max_jerk, jerk)
        return cls(
            lower=np.maximum(embodiment.lower, -FAR),
            upper=np.minimum(embodiment.upper, FAR),
            max_velocity=np.minimum(embodiment.max_velocity * config.velocity_scale, FAST),
            max_acceleration=max_acceleration,
            max_jerk=jerk * config.jerk_scale,
            dt_s=dt_s,
            step=max_acceleration * dt_s,
        )
