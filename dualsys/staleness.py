"""How old an input is, in four words, and what is done about it. Policy, never accident: it stands in the config."""

import math
from typing import Literal, get_args

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
    """What the config says to do with an input of that freshness. What is as slow as can be is held."""
    if word == "stale":
        return config.on_stale
    if word == "expired":
        return "hold" if config.on_expired == "slow" else config.on_expired
    return "keep"


def strongest(*actions: StaleAction) -> StaleAction:
    """Of what is to be done about several inputs, that which stops the motion most."""
    return max(actions, key=_STRENGTH.__getitem__)


def pace_for(age_s: float, config: StalenessConfig, *, time_to_live_s: float = math.inf) -> float:
    """How fast the motion's time runs, 1 to 0, as far as an input says `slow`.

    1 -------.
              `.
    0           `-------> age
           usable   expire
    """
    if config.on_stale != "slow":
        return 1.0
    end_s = min(config.expire_s, time_to_live_s)
    if age_s <= config.usable_s:
        return 1.0
    return (end_s - age_s) / (end_s - config.usable_s) if age_s < end_s else 0.0


_STRENGTH: dict[StaleAction, int] = {name: rank for rank, name in enumerate(get_args(StaleAction))}
