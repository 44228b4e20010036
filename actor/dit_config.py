"""What a GR00T-like action expert is built from; stored in the checkpoint. Every difference of its versions is named.

option                 N1.5          N1.6              N1.7
depth                  16            32                32
reads                  everything    text-and-image    text-and-image
num_future_tokens      32            0                 0
context_depth          4             0                 4
state_dropout          0             learned token     zeros
time_draw              shifted       scaled            scaled
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.actor.attention import AttentionBackend
from dualsys.actor.flow_matching import Solver


class DiTConfig(BaseModel):
    """A diffusion transformer over action tokens that cross-attends to features, with projectors for each robot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: int = Field(default=16, gt=0)
    """Rows that are sampled (`action_horizon`)."""
    kept_rows: int = Field(default=0, ge=0)
    """Of them, those at the beginning that a chunk is made of: a robot may have been trained on fewer than the others,
    and what lies behind means nothing. 0: all."""
    dt_s: float = Field(default=0.05, gt=0)
    """Time between rows."""
    max_actions: int = Field(default=32, gt=0)
    """Width that the actions of every robot are padded to."""
    max_states: int = Field(default=64, gt=0)
    """Width that the state of every robot is padded to."""
    state_history: int = Field(default=1, gt=0)
    """States of successive moments, joined into one token."""
    num_robots: int = Field(default=32, gt=0)
    """Categories of the projectors (`max_num_embodiments`)."""
    robot: int = Field(default=0, ge=0)
    """Category of the robot that is driven."""

    depth: int = Field(default=16, gt=0)
    """Blocks."""
    num_heads: int = Field(default=32, gt=0)
    """Attention heads."""
    head_width: int = Field(default=48, gt=0)
    """Width of a head; heads times this is the width of the tokens."""
    projector_width: int = Field(default=1024, gt=0)
    """Hidden width of the projectors, and what the transformer gives to the one that makes actions."""
    interleave_self_attention: bool = True
    """Odd blocks attend to the action tokens, even ones to the features; else all to the features."""
    reads: Literal["everything", "text-and-image"] = "everything"
    """What blocks read of the features: all of them, or in turn those of words and those of images."""
    text_every: int = Field(default=2, gt=0)
    """With `text-and-image`: every how many-th cross-attending block reads the words, beginning with the first."""
    reads_padding: bool = False
    """Whether features of padding are read where the originals ignore the mask: in self-attention over features, and
    with `everything`. The originals do in a batch of unequal prompts, and have no padding in a batch of one."""

    context_width: int = Field(default=2048, gt=0)
    """Width of the features: of a subgoal's tokens."""
    num_subgoal_tokens: int = Field(default=256, gt=0)
    """Features of a subgoal, padding included."""
    num_image_tokens: int = Field(default=0, ge=0)
    """How many of a subgoal's tokens, the first ones, are of images."""
    context_norm: bool = True
    """Whether features are normalised first."""
    context_depth: int = Field(default=4, ge=0)
    """Blocks of self-attention over the features."""
    context_heads: int = Field(default=32, gt=0)
    """Heads in these blocks."""

    attention: AttentionBackend = "sdpa"
    """Engine of every attention: `eager` is what the originals are compared with."""

    num_future_tokens: int = Field(default=0, ge=0)
    """Learned tokens between state and actions."""
    positions: bool = True
    """Whether action rows have learned positions."""
    max_positions: int = Field(default=1024, gt=0)
    """How many positions there are."""

    num_inference_steps: int = Field(default=4, gt=0)
    """Integration steps from noise to action."""
    solver: Literal["euler", "midpoint", "heun"] = Solver.EULER.value
    """Integrator."""
    time_buckets: int = Field(default=1000, gt=0)
    """The flow time is told in whole numbers below this."""
    noise: Literal["held", "fresh"] = "fresh"
    """`held`: every chunk of an episode starts from the same noise. `fresh`: each from its own, as the originals."""
    smoothing_window: int = Field(default=0, ge=0)
    """Rows over which sampling noise is smoothed away, odd; 0: rows as they are sampled."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """In training: share of what attention and feed-forward layers give that is dropped."""
    state_dropout: float = Field(default=0.0, ge=0, lt=1)
    """In training: how often the state is kept from the expert."""
    state_mask_token: bool = False
    """What stands for a dropped state: a learned token, or zeros."""
    state_noise: float = Field(default=0.0, ge=0)
    """In training: deviation of the noise on the state's token."""
    time_draw: Literal["scaled", "shifted"] = "scaled"
    """Training's flow times from `b ~ Beta(alpha, 1)`: `cutoff * (1 - b)`, or `(cutoff - b) / cutoff`."""
    time_alpha: float = Field(default=1.5, gt=0)
    """`alpha` of that distribution: above 1 skews towards noise."""
    time_cutoff: float = Field(default=0.999, gt=0, le=1)
    """`cutoff` there."""

    @property
    def width(self) -> int:
        """Of the tokens."""
        return self.num_heads * self.head_width

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % 2:
            raise ValueError(f"num_heads {self.num_heads} times head_width {self.head_width} must be even")
        if self.context_depth and self.context_width % self.context_heads:
            raise ValueError(f"context_width {self.context_width} is not divisible by {self.context_heads} heads")
        if self.positions and self.horizon > self.max_positions:
            raise ValueError(f"horizon {self.horizon} exceeds max_positions {self.max_positions}")
        if self.kept_rows > self.horizon:
            raise ValueError(f"kept_rows {self.kept_rows} exceeds the horizon {self.horizon}")
        if self.num_image_tokens > self.num_subgoal_tokens:
            raise ValueError(f"num_image_tokens {self.num_image_tokens} exceeds num_subgoal_tokens")
        if self.robot >= self.num_robots:
            raise ValueError(f"robot {self.robot} is none of the {self.num_robots} that there are projectors for")
        if self.state_mask_token and not self.state_dropout:
            raise ValueError("state_mask_token stands for a dropped state: set state_dropout above 0")
        if self.reads == "text-and-image" and not self.interleave_self_attention:
            raise ValueError("reads 'text-and-image' needs interleave_self_attention")
        window = self.smoothing_window
        rows = self.kept_rows or self.horizon
        if window and (window % 2 == 0 or not 2 < window <= rows):
            raise ValueError(f"smoothing_window must be 0 or odd from 3 to a chunk's {rows} rows, got {window}")
        return self

    @property
    def max_prefix(self) -> int:
        """Rows of a running motion that it has learned to continue: none."""
        return 0

    @property
    def vision(self) -> None:
        """An eye of its own: none."""

    def is_cross(self, block: int) -> bool:
        """Whether a block attends to the features."""
        return block % 2 == 0 or not self.interleave_self_attention

    def reads_words(self, block: int) -> bool:
        """With `text-and-image`: whether a cross-attending block reads words, not images."""
        return block % (2 * self.text_every) == 0
