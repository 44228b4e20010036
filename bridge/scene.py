"""What the tick publishes beside the robot's state, so that other processes know the episode and can draw it."""

from dataclasses import dataclass

from dualsys.messages import FloatArray, ImageArray
from dualsys.provenance import attempt_seed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """The episode that runs. Anything stamped before `start_s` belongs to an earlier one, or to an earlier attempt."""

    number: int
    """Counts from 0."""
    seed: int
    """Of the scene, and of the models in the first attempt."""
    start_s: float
    instruction: str
    attempt: int = 0
    """Attempts before this one that failed, or whose subgoal was completed; the models begin anew with each."""

    @property
    def key(self) -> tuple[int, int]:
        """What differs between two attempts."""
        return self.number, self.attempt

    @property
    def model_seed(self) -> int:
        """Seed of planner and actor in this attempt."""
        return attempt_seed(self.seed, self.attempt)


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
