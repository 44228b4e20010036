"""What every suite is asked for when an environment is made."""

from dataclasses import dataclass
from typing import Literal

from dualsys.errors import ConfigError

ImageMode = Literal["observation", "on-demand"]
Phrasing = Literal["train", "held-out"]
Randomization = Literal["usual", "wide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOptions:
    """The arguments of `dualsys.sim_envs.make`, checked. Raises `ConfigError` for values that mean nothing."""

    seed: int = 0
    """Seed of the first episode that is reset without one."""
    control_hz: float | None = None
    """Rate of `step`; None: the task's own."""
    images: ImageMode = "observation"
    """`observation`: every `step` renders; `on-demand`: only `observe().images` does, when read."""
    instruction: str | None = None
    """Overrides the episode's own instruction, and with it what counts as success."""
    phrasing: Phrasing = "train"
    """Which split of the grammar instructions are drawn from."""
    image_size: int = 96
    """Height and width of the policy's cameras in pixels."""

    cameras: tuple[str, ...] | None = None
    """The policy's cameras; None: the task's own choice."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray: `usual`, or `wide` for training data that is to carry over."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.images not in ("observation", "on-demand"):
            raise ConfigError(f"images={self.images!r} is not known; use 'observation' or 'on-demand'")
        if self.phrasing not in ("train", "held-out"):
            raise ConfigError(f"phrasing={self.phrasing!r} is not known; use 'train' or 'held-out'")
        if self.randomization not in ("usual", "wide"):
            raise ConfigError(f"randomization={self.randomization!r} is not known; use 'usual' or 'wide'")
        if not 1 <= self.image_size <= 4096:
            raise ConfigError(f"image_size={self.image_size} is outside 1 .. 4096 pixels")
        if self.control_hz is not None and not self.control_hz > 0:
            raise ConfigError(f"control_hz={self.control_hz} must be positive")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} must not be negative")
