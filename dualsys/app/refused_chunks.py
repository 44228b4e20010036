"""Chunks of the actor's that the decision core didn't take: what a run and an evaluation say of them."""

from collections.abc import Mapping

_PREFIX = "chunks_refused_"
_UNFIT = ("finite", "shape")
"""Reasons that lie in the actor, not in the moment."""


def refused_chunks(counters: Mapping[str, int]) -> dict[str, int]:
    """How many were refused for which reason (`dualsys.counters`), without reasons that never were."""
    return {name.removeprefix(_PREFIX): count for name, count in counters.items() if name.startswith(_PREFIX) and count}


def none_accepted(counters: Mapping[str, int]) -> str:
    """A warning where chunks were asked for and none was ever taken in; else empty."""
    if not counters.get("requests", 0) or counters.get("chunks", 0):
        return ""
    refused = refused_chunks(counters)
    why = ", ".join(f"{name} {count}" for name, count in refused.items()) or "none came"
    hint = "; its weights or statistics may be damaged" if refused.keys() & set(_UNFIT) else ""
    return f"warning: no chunk of the actor's was ever accepted (refused: {why}), so the robot held its pose{hint}"
