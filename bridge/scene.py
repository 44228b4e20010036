"""What the tick publishes beside the robot's state, so that other processes know the episode and can draw it."""

from dataclasses import dataclass

from dualsys.messages import FloatArray, ImageArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """The episode that runs. Anything stamped before `start_s` belongs to an earlier one."""

    number: int
    """Counts from 0."""
    seed: int
    start_s: float
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenePose:
    """The simulator's state at a moment, enough to draw it from."""

    stamp_s: float
    episode: int
    seed: int
    """Seed the episode's scene was built with."""
    physics: FloatArray
    """As the environment's `physics_state()` gives it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraFrame:
    """One image of one camera."""

    stamp_s: float
    """Stamp of the state it was drawn from."""
    episode: int
    image: ImageArray
    """`(h, w, 3)` uint8 RGB."""
