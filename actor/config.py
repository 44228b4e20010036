"""What an action expert is built from; stored in the checkpoint."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.embodiment import CameraSpec


class FastVisionConfig(BaseModel):
    """The actor's own small eye (Helix's way): strided convolutions to a grid of tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: CameraSpec
    """Camera it looks through."""
    channels: tuple[int, ...] = (32, 64, 96)
    """Output channels; each layer halves the image."""


class FlowActorConfig(BaseModel):
    """Shape of the expert and how it is sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: int = Field(default=32, gt=0)
    """Rows in a chunk (`action_horizon`)."""
    dt_s: float = Field(default=0.02, gt=0)
    """Time between rows."""
    width: int = 128
    """Width of the transformer."""
    depth: int = 6
    """Blocks; even ones attend to the subgoal, odd ones to the action tokens."""
    num_heads: int = 4
    """Attention heads."""
    num_inference_steps: int = Field(default=4, gt=0)
    """Integration steps from noise to action."""
    solver: Literal["euler", "midpoint", "heun"] = "euler"
    """Integrator."""
    noise: Literal["held", "fresh"] = "held"
    """`held`: every chunk of an episode starts from the same noise, so that successive chunks are drawn alike and meet
    with small seams. `fresh`: each starts from its own."""
    smoothing_window: int = 7
    """Rows over which sampling noise is smoothed away, odd; 0: rows as they are sampled."""
    max_prefix: int = Field(default=0, ge=0)
    """Rows of a running motion that it has learned to continue, at most (`trained-prefix`); 0: none."""
    vision: FastVisionConfig | None = None
    """Optional fast vision; None: proprioception and subgoal only."""
    robots: tuple[tuple[str, int, int], ...] = ()
    """Name, states and actions of each robot, where one expert is of several (`actor/many_robots.py`); training on data
    of several writes it. None: of one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(f"width {self.width} is not divisible into {self.num_heads} heads of even width")
        if self.max_prefix >= self.horizon:
            raise ValueError(f"max_prefix {self.max_prefix} leaves no row of the horizon {self.horizon} to sample")
        window = self.smoothing_window
        if window and (window % 2 == 0 or not 2 < window <= self.horizon):
            raise ValueError(f"smoothing_window must be 0 or odd from 3 to the horizon {self.horizon}, got {window}")
        names = [name for name, _, _ in self.robots]
        if len(set(names)) != len(names) or any(min(sizes) < 1 for _, *sizes in self.robots):
            raise ValueError(f"robots must have names of their own, states and actions; got {self.robots}")
        return self
