"""What the checks are made of."""

from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import InvalidObservation, NotConforming
from dualsys.messages import Observation


def require(condition: bool, message: str) -> None:
    """Raise `NotConforming` with the message unless the condition holds."""
    if not condition:
        raise NotConforming(message)


def require_members(part: Any, protocol: type) -> str:
    """Refuse a part that lacks members of a protocol; its name for further messages."""
    name = type(part).__name__
    members = [key for key in vars(protocol) if not key.startswith("_")]
    missing = [key for key in members if not hasattr(part, key)]
    require(not missing, f"{name} is no {protocol.__name__}: it lacks {', '.join(missing)}")
    return name


def require_observation(observation: Any, embodiment: EmbodimentSpec, where: str) -> Observation:
    """Refuse what is no observation of the embodiment, its images included."""
    if not isinstance(observation, Observation):
        raise NotConforming(f"{where} gave {type(observation).__name__}, expected dualsys.Observation")
    try:
        embodiment.check_observation(observation)
    except InvalidObservation as error:
        raise NotConforming(f"{where}: {error}") from error
    require(np.isfinite(observation.stamp_s), f"{where}: the stamp is {observation.stamp_s}, expected seconds")
    return observation


def snapshot(observation: Observation) -> list[Any]:
    """Copies of all arrays of an observation, in a fixed order."""
    return [observation.state.copy(), *(np.array(observation.images[name]) for name in sorted(observation.images))]


def require_untouched(observation: Observation, before: list[Any], where: str) -> None:
    """Refuse a part that wrote into the observation it was given."""
    same = all(np.array_equal(a, b) for a, b in zip(before, snapshot(observation), strict=True))
    require(same, f"{where} wrote into the observation's arrays; they are shared, copy before writing")
