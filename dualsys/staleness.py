"""How old an input is, in four words, and what is done about it. Policy, never accident: it stands in the config."""

import math
from typing import Literal

from dualsys.settings import StaleAction, StalenessConfig

FUTURE_S = 0.1
"""A stamp further ahead of the newest tick than this is a broken clock's and is not believed."""

Freshness = Literal["fresh", "usable", "stale", "expired"]


def freshness(age_s: float, config: StalenessConfig, *, time_to_live_s: float = math.inf) -> Freshness:
    """Word for an age. Also `expired`: beyond the input's own time to live, and stamped more than `FUTURE_S` ahead."""
    if not -FUTURE_S <= age_s <= min(config.expire_s, time_to_live_s):
        return "expired"
    if age_s <= config.fresh_s:
        return "fresh"
    return "usable" if age_s <= config.usable_s else "stale"


def action_for(word: Freshness, config: StalenessConfig) -> StaleAction:
    """What the config says to do with an input of that freshness."""
    if word == "stale":
        return config.on_stale
    return config.on_expired if word == "expired" else "keep"
