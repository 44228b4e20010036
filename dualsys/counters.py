"""What the decision core counts, and the virtual clock, so that nothing they do is hidden."""

from collections.abc import Mapping
from types import MappingProxyType

COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "starts": "episodes started",
        "ticks": "ticks handled; a tick decided again at the same instant counts once",
        "late_ticks": "ticks longer after the one before than max_tick_gap_s",
        "playing_ticks": "ticks in which a chunk was played",
        "start_ticks": "ticks in which the pose at start was held",
        "driven_ticks": "ticks in which another source than the policy had the say",
        "starved_ticks": "ticks in which the chunk had run out",
        "group_ended_ticks": "ticks in which a group's own rows had run out while its chunk was played",
        "held_ticks": "ticks in which motion was held or damped because an input was too old",
        "stopped_ticks": "ticks in which an emergency stop was latched",
        "slowed_ticks": "ticks in which motion was slowed because an input was old",
        "recovering_ticks": "ticks between a failed attempt and the first chunk of the next",
        "setbacks_no_progress": "attempts that got nowhere: nothing moved, or only to and fro",
        "setbacks_missed_grasp": "attempts in which a gripper had closed on nothing",
        "subgoals_completed": "subgoals that the planner called completed, after which it was asked anew",
        "recoveries": "failed attempts that another one followed",
        "recoveries_given_up": "episodes in which a failed attempt was left as it was, because no recovery was left",
        "stops": "emergency stops that were latched: asked for, or because an input was too old",
        "stop_resets": "emergency stops that were reset",
        "observations": "states taken in",
        "observations_refused": "states of the wrong shape, not finite, or older than the newest",
        "subgoals": "subgoals taken in",
        "subgoals_refused": "subgoals with unusable stamps, not newer than the newest, or from before the start",
        "planner_restarts": "changes to a newer planner epoch",
        "requests": "chunks asked for",
        "requests_skipped": "requests that were due while one was in flight",
        "requests_timed_out": "requests given up after request_timeout_s",
        "requests_null": "requests made without a subgoal because there was none or it had expired",
        "chunks": "chunks taken in",
        "chunks_refused_request": "chunks that answer no request in flight",
        "chunks_refused_sequence": "chunks not newer than the one before",
        "chunks_refused_shape": "chunks of the wrong shape; one of no rows is an actor's word that it failed",
        "chunks_refused_finite": "chunks with values that are not finite",
        "chunks_refused_timing": "chunks with unusable row spacing, stamp, or subgoal provenance",
        "chunks_refused_outlier": "chunks that begin out of reach or jump between their rows",
        "chunks_refused_late": "chunks whose rows had all been consumed when they arrived",
        "chunks_refused_policy": "chunks for which the chunk policy failed or gave no usable row",
        "offers": "targets of other sources than the policy taken in",
        "offers_refused": "such targets of the wrong shape, not finite, from nobody known, or older than the newest",
        "handovers": "changes of who has the say",
        "faults": "faults reported by the drivers",
        "bad_events": "events that could not be used at all",
    }
)
"""Every counter and what it counts."""

RECOVERY_COUNTS = (
    "setbacks_no_progress",
    "setbacks_missed_grasp",
    "subgoals_completed",
    "recoveries",
    "recoveries_given_up",
)
"""Those that tell of attempts (`dualsys.recovery`)."""

CHUNK_COUNTS = ("requests", "chunks", *(name for name in COUNTS if name.startswith("chunks_refused_")))
"""Those that tell what became of the actor's work."""

TIMING_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "planner_starts": "plans begun",
        "planner_starts_skipped": "grid points at which the planner was still busy, or that passed between two steps",
        "planner_starts_blind": "grid points before a late camera's first frame",
        "observations_lost": "observations that never reached the planner",
        "observations_overtaken": "observations that reached the planner behind a newer one, and were dropped",
        "subgoals_lost": "subgoals that never reached the robot",
        "subgoals_overtaken": "subgoals that reached the robot behind a newer one, and were dropped",
        "frames_overtaken": "frames that came behind a newer one, and were dropped",
        "commands_overtaken": "commands that reached the robot behind a newer one, and were dropped",
    }
)
"""What the driver on the virtual clock counts (`dualsys.bridge.inline`)."""


def new_counts() -> dict[str, int]:
    """All counters at zero."""
    return dict.fromkeys(COUNTS, 0)
