"""`Stamps`: where and when a mailbox's value comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """Where and when a value comes from."""

    sequence: int
    """Counted by the producer; only goes up."""
    epoch: int
    """Counts the writers the box has had."""
    observation_stamp_s: float
    """When the oldest source of the observation it was made from was sensed."""
    written_stamp_s: float
    """When it was published, on the monotonic clock of the writer's machine."""
    time_to_live_s: float = float("inf")
