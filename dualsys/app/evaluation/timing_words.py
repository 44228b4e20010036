"""The timing of an evaluation in a line, for tables and pictures."""

from collections.abc import Mapping
from typing import Any


def timing_in_words(config: Mapping[str, Any]) -> str:
    """Rates and delays of a report's config; delays that there are none of are left out."""
    if config["world"] == "frozen":
        rows = config["execution_horizon"] or "half the"
        return f"frozen world, {rows} rows of each chunk"
    link = config["link"]
    delays = {
        "camera": config["camera_delay_s"],
        "actuation": config["actuation_delay_s"],
        "observation link": link["observation_s"],
        "subgoal link": link["subgoal_s"],
    }
    losses = {"observations": link["observation_drop"], "subgoals": link["subgoal_drop"]}
    planner = f"planner {config['planner_hz']:g} Hz {delay_in_words(config['planner_latency_s'])}"
    words = [
        *([] if config["policy"] else [planner]),  # a policy of another program plans for itself
        f"actor {config['core']['actor_hz']:g} Hz {delay_in_words(config['actor_latency_s'])}",
        *([f"camera {config['camera_hz']:g} Hz"] if config["camera_hz"] else []),
        *(f"{name} {delay_in_words(delay)}" for name, delay in delays.items() if delay),
        *(f"{100 * chance:g} % of {name} lost" for name, chance in losses.items() if chance),
    ]
    return ", ".join(words)


def delay_in_words(written: float | str) -> str:
    """Milliseconds, or the distribution as it was written."""
    return written if isinstance(written, str) else f"{1e3 * written:g} ms"
