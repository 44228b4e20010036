"""Which measured values an evaluation drew its delays from: a file's name tells nobody elsewhere."""

from typing import Any

from dualsys.bridge.episode_delays import DelaySource
from dualsys.delays import Measured
from dualsys.settings import TimingConfig
from dualsys.telemetry import digest


def traces_of(timing: TimingConfig) -> dict[str, dict[str, Any]]:
    """By option, of each delay that is a trace: the digest of its values, how many they are, and their mean."""
    return {
        option: {
            "digest": digest(distribution.seconds),
            "samples": len(distribution.seconds),
            "mean_s": distribution.mean_s,
        }
        for option, distribution in DelaySource(timing).distributions.items()
        if isinstance(distribution, Measured)
    }
