"""What every suite is asked for when an environment is made."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from dualsys.errors import ConfigError

ImageMode = Literal["observation", "on-demand"]
Phrasing = Literal["train", "held-out"]
Randomization = Literal["usual", "wide"]
ImageTurn = Literal["none", "half", "upside-down"]
ResetKind = Literal["hard", "soft"]
ImageSize = int | tuple[int, int]
"""Pixels of a picture: of both its sides, or its height and width."""


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
    image_size: ImageSize = 96
    """Pixels of the policy's cameras: of both sides, or height and width."""

    cameras: tuple[str, ...] | None = None
    """The policy's cameras; None: the task's own choice."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray: `usual`, or `wide` for training data that is to carry over."""
    episode_steps: int | None = None
    """Control steps after which an episode is over; None: the task's own limit."""
    settle_steps: int = 0
    """Control steps of the task's own no-op after a reset, before the episode and its clock begin."""
    image_turn: ImageTurn = "none"
    """How the policy's images are turned: `half` (by 180 degrees) or `upside-down` (rows in reverse)."""
    reset_kind: ResetKind | None = None
    """Whether a reset builds the scene anew (`hard`) or only sets it back (`soft`); None: the task's own way."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.images not in ("observation", "on-demand"):
            raise ConfigError(f"images={self.images!r} is not known; use 'observation' or 'on-demand'")
        if self.phrasing not in ("train", "held-out"):
            raise ConfigError(f"phrasing={self.phrasing!r} is not known; use 'train' or 'held-out'")
        if self.randomization not in ("usual", "wide"):
            raise ConfigError(f"randomization={self.randomization!r} is not known; use 'usual' or 'wide'")
        if self.image_turn not in ("none", "half", "upside-down"):
            raise ConfigError(f"image_turn={self.image_turn!r} is not known; use 'none', 'half' or 'upside-down'")
        if self.reset_kind not in (None, "hard", "soft"):
            raise ConfigError(f"reset_kind={self.reset_kind!r} is not known; use 'hard', 'soft' or None")
        self._check_numbers()

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the policy's cameras in pixels."""
        return image_shape(self.image_size)

    def _check_numbers(self) -> None:
        if not all(1 <= side <= 4096 for side in self.image_shape):
            raise ConfigError(f"image_size={self.image_size} is outside 1 .. 4096 pixels")
        if self.control_hz is not None and not self.control_hz > 0:
            raise ConfigError(f"control_hz={self.control_hz} must be positive")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} must not be negative")
        if self.episode_steps is not None and self.episode_steps < 1:
            raise ConfigError(f"episode_steps={self.episode_steps} must be at least 1; None: the task's own limit")
        if self.settle_steps < 0:
            raise ConfigError(f"settle_steps={self.settle_steps} must not be negative")


def image_shape(size: ImageSize) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def size_in_words(size: ImageSize) -> str:
    """`96`, or `640 x 480`: width and height, as people say it."""
    height, width = image_shape(size)
    return str(height) if height == width else f"{width} x {height}"


def require_instruction(task: str, asked: str | None, own: str) -> None:
    """Raise `ConfigError` where a task that is told one sentence is asked for with another."""
    if asked not in (None, own):
        raise ConfigError(f"{task} cannot be told {asked!r}: it does one thing, {own!r}; leave the instruction out")


def require_rate(task: str, asked_hz: float | None, own_hz: float) -> None:
    """Raise `ConfigError` where a task that has one rate is asked for at another."""
    if asked_hz is not None and not np.isclose(asked_hz, own_hz):
        raise ConfigError(
            f"{task} is controlled at {own_hz:g} Hz, not at {asked_hz:g}: give that: --control-hz {own_hz:g}"
        )


def refuse_options(task: str, options: EnvironmentOptions, because: Mapping[str, str]) -> None:
    """Raise `ConfigError` where an option was chosen that a task can't honour.

    Args:
        task: Its full name.
        options: What was asked for.
        because: By the name of each option that can't be chosen, what the task is like instead.
    """
    usual: dict[str, Any] = {field.name: field.default for field in fields(EnvironmentOptions)}
    for name, reason in because.items():
        if (asked := getattr(options, name)) != usual[name]:
            raise ConfigError(f"{task} takes no {name}={asked!r}: {reason}; leave {name} out")
