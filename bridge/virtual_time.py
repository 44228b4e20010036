"""Latencies on the virtual clock: when a model's answer can be used, and which latencies make sense."""

from dataclasses import dataclass
from typing import Any

from dualsys.decision import DecisionCore
from dualsys.errors import ConfigError
from dualsys.safety import SafetyGate
from dualsys.settings import TimingConfig

_ROUNDING_S = 1e-9
"""Sums of times may fall short of an instant by this much and still be on it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LateResult:
    """What a model answered, and when that can be used."""

    ready_s: float
    value: Any

    def is_ready(self, now_s: float) -> bool:
        """Whether it can be used by now."""
        return self.ready_s <= now_s + _ROUNDING_S


def require_latencies(timing: TimingConfig, core: DecisionCore, gate: SafetyGate) -> None:
    """Raise `ConfigError` where rates and latencies don't fit the core's config or the gate."""
    if abs(gate.control_dt_s * timing.control_hz - 1.0) > 1e-6:
        raise ConfigError(
            f"the timing's control_hz {timing.control_hz:g} and the gate's tick of {gate.control_dt_s:g} s differ: "
            "velocities would be limited wrongly; build the gate with 1 / control_hz"
        )
    if timing.actor_latency_s >= core.config.request_timeout_s:
        raise ConfigError(
            f"actor_latency_s {timing.actor_latency_s} is not below the core's request_timeout_s "
            f"{core.config.request_timeout_s}: no chunk would ever be in time; raise request_timeout_s"
        )
