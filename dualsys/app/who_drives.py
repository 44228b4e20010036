"""Who drives a robot: a checkpoint's parts, others in place of them, parts that do nothing, or another program."""

from collections.abc import Mapping
from typing import Any


def is_idle(*, planner: str, actor: str) -> bool:
    """Whether `--planner null --actor hold` is asked for: neither reads weights, so no checkpoint is used."""
    return (planner, actor) == ("null", "hold")


def who_drives(config: Mapping[str, Any]) -> str:
    """As tables, pages and messages name it, from an evaluation's options as its result has them."""
    planner, actor = (str(config.get(part) or "") for part in ("planner", "actor"))
    if policy := config.get("policy"):
        return str(policy)
    if is_idle(planner=planner, actor=actor):  # results of before name a checkpoint, too
        return f"{planner} + {actor}"
    others = [f"{part} {name}" for part, name in (("planner", planner), ("actor", actor)) if name]
    checkpoint = str(config.get("checkpoint", ""))
    return f"{checkpoint} with {' and '.join(others)}" if others else checkpoint
