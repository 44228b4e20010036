"""What goes wrong with a stream of observations: each fault is a callable that passes them on, or spoils them.

    robot         1   2   3   4   5   6
    Dropped       1   1   1   1   1   1      the newest from before the fault, again and again: a link that was lost
    Delayed(2)    1   1   1   2   3   4
    Reordered     -   2   1   4   3   6      2 comes before 1
    Duplicated    1   1   3   3   5   5
    FrozenCamera  states as they are, images and their stamps as they were
    ClockJump     states as they are, all stamps by so much too far

A fault is called with every observation, before, while and after it is active, so that it can remember. They compose:
what one gives is what the next one gets.
"""

from collections import deque
from dataclasses import replace
from typing import Any, Literal, Protocol, final

import numpy as np

from dualsys.messages import Observation


class StreamFault(Protocol):
    """Passes an observation on, as it is or, while `active`, otherwise."""

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """What comes of it."""
        ...


@final
class Dropped:
    """Nothing new comes: the newest observation is given again."""

    def __init__(self) -> None:
        self._newest: Observation | None = None

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """The newest from before."""
        if not active or self._newest is None:
            self._newest = observation
        return self._newest


@final
class Delayed:
    """Everything comes so many observations late."""

    def __init__(self, observations: int) -> None:
        self._line: deque[Observation] = deque(maxlen=observations + 1)

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """The one from so many before, or the oldest there is."""
        self._line.append(observation)
        return self._line[0] if active else observation


@final
class Reordered:
    """Of each two, the second comes first, and the first when the third was due."""

    def __init__(self) -> None:
        self._line: deque[Observation] = deque(maxlen=3)
        self._calls = 0

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """This one, or that from two before."""
        self._line.append(observation)
        self._calls = self._calls + 1 if active else 0
        return self._line[0] if self._calls % 2 else observation


@final
class Duplicated:
    """Each second one is the one before, again."""

    def __init__(self) -> None:
        self._before: Observation | None = None

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """This one, or that before it."""
        if active and self._before is not None:
            again, self._before = self._before, None
            return again
        self._before = observation
        return observation


@final
class FrozenCamera:
    """States go on, images and their stamps don't. Of all cameras, or of those that are named."""

    def __init__(self, *cameras: str) -> None:
        self._cameras = cameras
        self._frozen: Observation | None = None

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """With the images from before."""
        if not active or self._frozen is None:
            # Images that are drawn when they are read have to be read while they can be.
            self._frozen = replace(observation, images=dict(observation.images))
            return observation
        old = self._frozen
        names = [name for name in observation.images if not self._cameras or name in self._cameras]
        return replace(
            observation,
            images=dict(observation.images) | {name: old.images[name] for name in names},
            image_stamps_s=dict(observation.image_stamps_s)
            | {name: old.image_stamps_s.get(name, old.stamp_s) for name in names},
        )


@final
class ClockJump:
    """The robot's clock is set: stamps are too late by so much, or too early where it is below 0."""

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """With other stamps."""
        if not active:
            return observation
        stamps_s = {name: stamp_s + self._by_s for name, stamp_s in observation.image_stamps_s.items()}
        return replace(observation, stamp_s=observation.stamp_s + self._by_s, image_stamps_s=stamps_s)


@final
class SpoiledState:
    """States that are not finite, have a component too many, or are no floats."""

    def __init__(self, how: Literal["nan", "infinite", "shape", "dtype"]) -> None:
        self._how = how

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        """With another state."""
        if not active:
            return observation
        state: Any = observation.state.copy()
        if self._how == "shape":
            state = np.append(state, 0.0)
        elif self._how == "dtype":
            state = state.astype("U8")
        else:
            state[0] = np.nan if self._how == "nan" else np.inf
        return replace(observation, state=state)
