"""What bumps into the robot in an episode: all drawn from the seed beforehand, so that a moment of time tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualsys.messages import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRanges:
    """What pushes are drawn from, each evenly: one in each window of time, anywhere in it."""

    bodies: tuple[str, ...]
    newtons: tuple[float, float]
    every_s: float
    lasts_s: float
    level: bool
    """Whether they come from the side alone, not from above or below."""


ARM_PUSHES = PushRanges(
    bodies=tuple(f"{side}_{part}_link" for side in ("left", "right") for part in ("elbow", "wrist_yaw")),
    newtons=(30.0, 80.0),
    every_s=0.5,
    lasts_s=0.1,
    level=False,
)
"""On forearms and hands."""
TORSO_PUSHES = PushRanges(bodies=("torso_link",), newtons=(40.0, 90.0), every_s=2.0, lasts_s=0.1, level=True)
"""On the torso of a robot of 34 kg that stands free: 90 N for 0.1 s change its speed by 0.26 m/s."""
_WINDOWS = 64
"""Pushes drawn for an episode; a longer one gets the same again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pushes:
    """The pushes of one episode."""

    ranges: PushRanges
    body: tuple[str, ...]
    """Which body is pushed in each window."""
    begins_s: FloatArray
    """When, after the window's begin `(n,)`."""
    force_n: FloatArray
    """On its centre of mass, in the world's frame `(n, 3)`."""

    def at(self, time_s: float) -> tuple[str, FloatArray] | None:
        """The body pushed at a moment and the force on it `(3,)`; None: nothing pushes."""
        window, since_s = divmod(time_s, self.ranges.every_s)
        index = int(window) % len(self.body)
        if not self.begins_s[index] <= since_s < self.begins_s[index] + self.ranges.lasts_s:
            return None
        return self.body[index], self.force_n[index]


def draw_pushes(rng: np.random.Generator, ranges: PushRanges) -> Pushes:
    """Pushes enough for any episode."""
    directions = rng.normal(size=(_WINDOWS, 3)) * (1.0, 1.0, 0.0 if ranges.level else 1.0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Pushes(
        ranges=ranges,
        body=tuple(ranges.bodies[index] for index in rng.integers(len(ranges.bodies), size=_WINDOWS)),
        begins_s=rng.uniform(0.0, ranges.every_s - ranges.lasts_s, _WINDOWS),
        force_n=directions * rng.uniform(*ranges.newtons, (_WINDOWS, 1)),
    )


@contextmanager
def pushed_by(pushes: Pushes | None, model: Any, data: Any) -> Iterator[None]:
    """Have the push of this moment act in the block, beside the forces that others apply, and on nothing after it."""
    found = None if pushes is None else pushes.at(float(data.time))
    if found is None:
        yield
        return
    body, force = found
    row = data.xfrc_applied[model.body(body).id]
    before = np.array(row)
    row[:3] += force
    yield
    row[:] = before
