"""Which rates and delays make sense together on the virtual clock."""

from dualsys.bridge.delay_line import LateResult as LateResult
from dualsys.bridge.episode_delays import DelaySource
from dualsys.decision import DecisionCore
from dualsys.errors import ConfigError
from dualsys.safety import SafetyGate


def require_latencies(source: DelaySource, core: DecisionCore, gate: SafetyGate) -> None:
    """Raise `ConfigError` where rates and delays don't fit the core's config or the gate."""
    timing = source.timing
    if abs(gate.control_dt_s * timing.control_hz - 1.0) > 1e-6:
        raise ConfigError(
            f"the timing's control_hz {timing.control_hz:g} and the gate's tick of {gate.control_dt_s:g} s differ: "
            "velocities would be limited wrongly; build the gate with 1 / control_hz"
        )
    if source.distributions["actor_latency_s"].least_s >= core.config.request_timeout_s:
        raise ConfigError(
            f"actor_latency_s {timing.actor_latency_s} is not below the core's request_timeout_s "
            f"{core.config.request_timeout_s}: no chunk would ever be in time; raise request_timeout_s"
        )
    is_late = any(each.mean_s > 0.0 for each in source.distributions.values())
    if timing.world == "frozen" and (is_late or timing.execution_horizon is None):
        raise ConfigError("in a frozen world nothing takes time: give the driver what TimingConfig.frozen() makes")
