"""Scripted experts of three of Fetch's tasks: reach, push, pick and place. The package ships none.

Each call looks at where hand and object are now, so they start from anywhere and remember nothing. Nobody slides: the
hand is hardly faster than the puck stops, and a quick script came to 6 of 20.
"""

from collections.abc import Callable
from typing import Protocol, final

import numpy as np

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, Observation

GAIN = 10.0
"""Of the way to go, a metre being that much action: half of it in a step."""
ABOVE_M = 0.08
"""How high over the block the hand comes."""
OVER_M = 0.1
"""How high it passes over a block that it is to get behind."""
PUSH_HEIGHT_M = 0.005
BEHIND_M = 0.07
"""Where a push begins, from the block's middle."""
CONTACT_M = 0.042
"""From the middle of the hand to that of a block it pushes."""
ALIGNED_M = 0.015
NEAR_M = 0.02
CLOSED_M = 0.052
"""Both fingers' places together, when they hold the block."""


class FetchTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def task(self) -> str:
        """Its full name."""
        ...

    def observe(self) -> Observation:
        """The present moment."""
        ...

    def privileged(self) -> dict[str, FloatArray]:
        """Where the goal is, and what is to be there."""
        ...


@final
class FetchExpert:
    """Gives the next action `(4,)` for an environment's present moment."""

    tasks = ("fetch/pick-and-place", "fetch/push", "fetch/reach")
    """Those it solves."""

    def __init__(self, environment: FetchTask) -> None:
        if environment.task not in self.tasks:
            raise ConfigError(f"nobody demonstrates {environment.task}, only {', '.join(self.tasks)}")
        self._environment = environment
        self._motion = _MOTIONS[environment.task]

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> FloatArray:
        """Action `(4,)`: steps of the hand, and the fingers' opening."""
        state, facts = self._environment.observe().state, self._environment.privileged()
        return self._motion(state, facts["achieved_position"], facts["target_position"])


def _reach(state: FloatArray, place: FloatArray, goal: FloatArray) -> FloatArray:
    del place
    return _towards(goal - state[:3], fingers=0.0)


def _pick_and_place(state: FloatArray, place: FloatArray, goal: FloatArray) -> FloatArray:
    """Over the block, down around it, close, carry."""
    offset = state[:3] - place
    if np.linalg.norm(offset[:2]) > ALIGNED_M and np.linalg.norm(offset) > NEAR_M:
        return _towards(np.array([0.0, 0.0, ABOVE_M]) - offset, fingers=1.0)
    if offset[2] > 0.012:
        return _towards(-offset, fingers=1.0)
    if state[3] + state[4] > CLOSED_M:
        return np.array([0.0, 0.0, 0.0, -1.0])
    return _towards(goal - place, fingers=-1.0)


def _push(state: FloatArray, place: FloatArray, goal: FloatArray) -> FloatArray:
    """Get behind the block, as seen from the goal, and push it there, keeping to the line."""
    hand, height = state[:3], place[2] + PUSH_HEIGHT_M
    distance = float(np.linalg.norm(goal[:2] - place[:2]))
    if distance < NEAR_M:
        return np.zeros(4)
    way = (goal[:2] - place[:2]) / distance
    offset = hand[:2] - place[:2]
    aside = offset - (offset @ way) * way
    if offset @ way < -NEAR_M and np.linalg.norm(aside) < ALIGNED_M and hand[2] < place[2] + 0.03:
        left = float((goal[:2] - CONTACT_M * way - hand[:2]) @ way)
        return _towards(np.append(np.clip(left, 0.0, 0.04) * way - aside, height - hand[2]), fingers=0.0)
    start = place[:2] - BEHIND_M * way
    if np.linalg.norm(hand[:2] - start) <= ALIGNED_M:
        return _towards(np.append(start - hand[:2], height - hand[2]), fingers=0.0)
    over = place[2] + OVER_M
    if hand[2] < over - 0.03 and np.linalg.norm(offset) < 0.12:
        return _towards(np.array([0.0, 0.0, over - hand[2]]), fingers=0.0)
    return _towards(np.append(start - hand[:2], over - hand[2]), fingers=0.0)


def _towards(way: FloatArray, *, fingers: float) -> FloatArray:
    """A step of the hand along a way `(3,)` in metres."""
    return np.append(np.clip(GAIN * way, -1.0, 1.0), fingers)


_MOTIONS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "fetch/pick-and-place": _pick_and_place,
    "fetch/push": _push,
    "fetch/reach": _reach,
}
