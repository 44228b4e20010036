"""What the checks are made of."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
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
    """Refuse a part that lacks members of a protocol, or whose methods can't be called as they are; its name for
    further messages.
    """
    if isinstance(part, type):
        raise NotConforming(f"{part.__name__} is a class: give an instance of it, such as {part.__name__}(...)")
    name = type(part).__name__
    members = [key for key in vars(protocol) if not key.startswith("_")]
    missing = [key for key in members if not hasattr(part, key)]
    require(not missing, f"{name} is no {protocol.__name__}: it lacks {', '.join(missing)}")
    for key, member in vars(protocol).items():
        if isinstance(member, FunctionType) and not key.startswith("_"):
            _require_callable(getattr(part, key), member, f"{name}.{key}")
    return name


@contextmanager
def shown(embodiment: EmbodimentSpec, where: str) -> Iterator[None]:
    """Say which observations a part was shown, where it looked for something that they don't have."""
    try:
        yield
    except (LookupError, InvalidObservation) as error:
        cameras = ", ".join(camera.name for camera in embodiment.cameras) or "none"
        raise NotConforming(
            f"{where} raised {type(error).__name__} ({error}) on an observation of {embodiment.name!r}, which has "
            f"{embodiment.num_states} states and the cameras: {cameras}. Check it with a robot that it is made for"
        ) from error


def _require_callable(method: Any, asked: FunctionType, where: str) -> None:
    """Refuse a method that can't be called with what the protocol's is called with."""
    require(callable(method), f"{where} is {type(method).__name__}, expected a method")
    parameters = list(inspect.signature(asked).parameters.values())[1:]  # without self
    given = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    seed = {"seed": 0} if any(parameter.name == "seed" for parameter in parameters) else {}
    try:
        inspect.signature(method).bind(*given, **seed)
    except TypeError as error:
        told = ", ".join([*given, *(f"{key}={value}" for key, value in seed.items())])
        raise NotConforming(f"{where}() is called as {where}({told}), which it doesn't take: {error}") from error
    except ValueError:
        return  # of C, and tells no signature


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
