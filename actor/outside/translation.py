"""Between our observations and a policy's: the same keys, used from either end of the wire."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from dualsys.actor.outside.keys import PolicyKeys, found_at, placed
from dualsys.actor.outside.pictures import fitted
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, InvalidObservation, PolicyError
from dualsys.messages import FloatArray, ImageArray, Observation


@final
class Translation:
    """A policy's keys for one robot. Raises `ConfigError` where the robot hasn't what they name."""

    def __init__(self, keys: PolicyKeys, embodiment: EmbodimentSpec) -> None:
        self._keys, self._embodiment = keys, embodiment
        self._states = keys.states_of(embodiment)
        self._cameras = keys.cameras_of(embodiment)

    def outward(self, observation: Observation) -> dict[str, Any]:
        """What a policy is sent of an observation."""
        dtype = np.dtype(self._keys.state_dtype)
        entries: dict[str, Any] = {key: observation.state[places].astype(dtype) for key, places in self._states.items()}
        for key, camera in self._cameras.items():
            picture = fitted(observation.images[camera], self._keys.image_size)
            entries[key] = picture.transpose(2, 0, 1) if self._keys.channels_first else picture
        return placed({**entries, self._keys.prompt: observation.instruction})

    def require_whole(self) -> None:
        """Raise `ConfigError` where the keys leave out a state or a camera that this end has to be told."""
        told = {place for places in self._states.values() for place in places}
        lacking = [name for place, name in enumerate(self._embodiment.state_names) if place not in told]
        seen = set(self._cameras.values())
        lacking += [camera.name for camera in self._embodiment.cameras if camera.name not in seen]
        if lacking:
            raise ConfigError(
                f"the keys tell nothing of {', '.join(lacking)} of {self._embodiment.name}: a policy that is served "
                "is told every state and camera; name them in a file of keys"
            )

    def inward(self, message: Any, *, stamp_s: float) -> Observation:
        """What a client has sent, as an observation of this robot.

        Raises `InvalidObservation`: a key is missing, of another shape or type, or not finite.
        """
        state = np.zeros(self._embodiment.num_states)
        for key, places in self._states.items():
            state[places] = self._numbers(message, key, len(places))
        images = {camera: self._picture(message, key) for key, camera in self._cameras.items()}
        words = found_at(message, self._keys.prompt)
        if words is not None and not isinstance(words, str):
            raise InvalidObservation(f"{self._keys.prompt!r} is {type(words).__name__}, expected the words to follow")
        observation = Observation(stamp_s=stamp_s, state=state, images=images, instruction=words or "")
        self._embodiment.check_observation(observation)
        return observation

    def rows(self, answer: Any) -> FloatArray:
        """The chunk `(rows, nu)` of a policy's answer. Raises `PolicyError` for what is none of this robot's."""
        if not isinstance(answer, Mapping):
            raise PolicyError(f"the answer is {type(answer).__name__}, expected a mapping with {self._keys.actions!r}")
        actions, width = found_at(answer, self._keys.actions), self._embodiment.num_actions
        if not isinstance(actions, np.ndarray):
            raise PolicyError(f"the answer has no array {self._keys.actions!r}; it has {', '.join(map(str, answer))}")
        if actions.ndim != 2 or not len(actions) or actions.shape[1] != width or actions.dtype.kind not in "iuf":
            raise PolicyError(
                f"the answer's {self._keys.actions!r} is {actions.dtype} {actions.shape}; {self._embodiment.name} "
                f"takes rows of {width} numbers"
            )
        return actions.astype(np.float64)

    def _numbers(self, message: Any, key: str, length: int) -> FloatArray:
        value = found_at(message, key)
        if value is None:
            raise InvalidObservation(f"no {key!r} in the observation; it has {_keys_of(message)}")
        try:
            numbers = np.asarray(value, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if len(numbers) != length:
            shape = getattr(value, "shape", type(value).__name__)
            raise InvalidObservation(f"{key!r} is {shape}, expected {length} numbers")
        return numbers

    def _picture(self, message: Any, key: str) -> ImageArray:
        value = found_at(message, key)
        if not isinstance(value, np.ndarray):
            raise InvalidObservation(f"no picture {key!r} in the observation; it has {_keys_of(message)}")
        if value.ndim != 3 or value.dtype != np.uint8:
            raise InvalidObservation(f"the picture {key!r} is {value.dtype} {value.shape}, expected uint8 of 3 axes")
        return value.transpose(1, 2, 0) if self._keys.channels_first else value


def _keys_of(message: Any) -> str:
    if not isinstance(message, Mapping):
        return f"none: it is {type(message).__name__}"
    return ", ".join(sorted(map(str, message))) or "none"
