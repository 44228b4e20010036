"""A narrow robot in the places of a wide one: its state and actions in front, zeros behind (GR00T's way, and pi's).

Shape legend: W width of the widest robot.
"""

from typing import NamedTuple, Protocol

import numpy as np

from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import SpecMismatch
from dualsys.messages import FloatArray


class Scale(Protocol):
    """What statistics do to values, over the last axis."""

    def normalize(self, values: FloatArray) -> FloatArray:
        """Physical to normalised."""
        ...

    def denormalize(self, values: FloatArray) -> FloatArray:
        """Normalised to physical."""
        ...


class PaddedScale(NamedTuple):
    """A scale over the first of the values; the others are padding, and zero on both sides."""

    scale: Scale
    size: int
    """How many values there are that count."""

    def normalize(self, values: FloatArray) -> FloatArray:
        """Physical to normalised, `(..., W)`."""
        return padded(self.scale.normalize(values[..., : self.size]), values.shape[-1])

    def denormalize(self, values: FloatArray) -> FloatArray:
        """Normalised to physical, `(..., W)`."""
        return padded(self.scale.denormalize(values[..., : self.size]), values.shape[-1])


class PaddedStatistics(NamedTuple):
    """Scales of a wide robot's state and actions."""

    state: PaddedScale
    action: PaddedScale


def padded(values: FloatArray, width: int) -> FloatArray:
    """`(..., width)`, with zeros behind."""
    out: FloatArray = np.zeros((*values.shape[:-1], width), dtype=np.float64)
    out[..., : values.shape[-1]] = values
    return out


def padded_embodiment(embodiment: EmbodimentSpec, *, states: int, actions: int) -> EmbodimentSpec:
    """The robot with joints and states that nobody has. Raises `SpecMismatch` where it is wider than that."""
    if embodiment.num_states > states or embodiment.num_actions > actions:
        raise SpecMismatch(
            f"embodiment {embodiment.name!r} has {embodiment.num_states} states and {embodiment.num_actions} actions; "
            f"the expert takes {states} and {actions} at most"
        )
    joints = (
        Joint(name=f"padding action {index}", lower=-1.0, upper=1.0)
        for index in range(actions - embodiment.num_actions)
    )
    names = (f"padding state {index}" for index in range(states - embodiment.num_states))
    return embodiment.model_copy(
        update={"joints": (*embodiment.joints, *joints), "state_names": (*embodiment.state_names, *names)}
    )
