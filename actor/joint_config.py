"""What a joint-attention expert is built from; stored in the checkpoint. Every difference of the families is named.

option           pi0                  pi0.5             SmolVLA
norm             rms-offset           adaptive-rms      rms
activation       gelu-tanh            gelu-tanh         silu
time             fused with actions   adaptive          fused with actions
state_token      yes                  no                no: it is of the prefix
causal           no                   no                yes
joint_every      1                    1                 2
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.actor.attention import AttentionBackend
from dualsys.embodiment import PrefixSpec


class JointExpertConfig(BaseModel):
    """A decoder over action rows that reads a planner's prefix beside them, layer by layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: int = Field(default=50, gt=0)
    """Rows in a chunk (`action_horizon`)."""
    dt_s: float = Field(default=0.02, gt=0)
    """Time between rows."""
    max_actions: int = Field(default=32, gt=0)
    """Width that the actions of every robot are padded to."""
    max_states: int = Field(default=32, gt=0)
    """Width that the state of every robot is padded to; without a state token it isn't read."""

    width: int = Field(default=1024, gt=0)
    """Width of the tokens."""
    depth: int = Field(default=18, gt=0)
    """Layers."""
    feed_forward_width: int = Field(default=4096, gt=0)
    """Inside of the gated feed-forward."""
    num_heads: int = Field(default=8, gt=0)
    """Heads of queries; those of keys and values, and their width, are the prefix's."""
    prefix: PrefixSpec = PrefixSpec(layers=18, heads=1, head_dim=256)
    """What the planner gives."""
    prefix_every: int = Field(default=1, gt=0)
    """A layer reads the prefix's layer of this many times its own number (a shallower expert skips some)."""

    norm: Literal["rms", "rms-offset", "adaptive-rms"] = "rms-offset"
    """`rms`: scaled by a weight; `rms-offset`: by 1 + a weight (Gemma); `adaptive-rms`: scaled, shifted and gated by
    the flow time (pi0.5)."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square."""
    activation: Literal["gelu-tanh", "silu"] = "gelu-tanh"
    """Of the feed-forward's gate."""
    time: Literal["fused", "adaptive"] = "fused"
    """How the flow time enters: joined with each row and mixed by a small network, or as the condition of the norms."""
    state_token: bool = True
    """Whether the state is a token before the rows, which sees the prefix and not the rows."""
    causal: bool = False
    """Whether a row sees those before it only."""
    joint_every: int = Field(default=1, ge=0)
    """Every how many-th layer, the first included, attends to prefix and rows at once; the others attend to the
    prefix alone, through projections of its keys and values. 0: no layer attends to the rows."""
    rope_base: float = Field(default=10_000.0, gt=0)
    """Longest wavelength of the rotary positions, over 2 pi."""
    min_period: float = Field(default=4e-3, gt=0)
    """Shortest period of the flow time's embedding."""
    max_period: float = Field(default=4.0, gt=0)
    """Longest one."""
    time_direction: Literal["to-data", "to-noise"] = "to-noise"
    """Which way the weights count flow time: from noise at 0 to data at 1 as we do, or the other way (pi0, pi0.5,
    SmolVLA). Converted in one place, `JointExpert`."""

    num_inference_steps: int = Field(default=10, gt=0)
    """Integration steps from noise to action."""
    solver: Literal["euler", "midpoint", "heun"] = "euler"
    """Integrator."""
    noise: Literal["held", "fresh"] = "fresh"
    """Whether every chunk of an episode starts from the same noise; the originals draw anew."""
    smoothing_window: int = Field(default=0, ge=0)
    """Rows over which sampling noise is smoothed away, odd; 0: rows as they are sampled."""
    attention: AttentionBackend = "sdpa"
    """Engine; `eager` is what peers are held to, `flash` needs its package, half precision and rows that see all."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_heads % self.prefix.heads:
            raise ValueError(f"{self.num_heads} heads of queries don't share {self.prefix.heads} heads of keys evenly")
        if self.prefix.head_dim % 2 or self.width % 2:
            raise ValueError(f"width {self.width} and head_dim {self.prefix.head_dim} must be even")
        if (self.norm == "adaptive-rms") != (self.time == "adaptive"):
            raise ValueError(f"adaptive norms are adaptive to the time: norm is {self.norm!r}, time {self.time!r}")
        if self.state_token and self.time == "adaptive":
            raise ValueError("a state token is run once for all flow times, norms that are adaptive to them can't be")
        if (self.depth - 1) * self.prefix_every >= self.prefix.layers:
            raise ValueError(
                f"{self.depth} layers that read every {self.prefix_every}-th of the prefix need more than its "
                f"{self.prefix.layers}"
            )
        if self.causal and self.attention == "flash":
            raise ValueError("flash attention reads masks that are the same for each query; causal rows need 'sdpa'")
        window = self.smoothing_window
        if window and (window % 2 == 0 or not 2 < window <= self.horizon):
            raise ValueError(f"smoothing_window must be 0 or odd from 3 to the horizon {self.horizon}, got {window}")
        return self

    @property
    def max_prefix(self) -> int:
        """Rows of a running motion that it has learned to continue: none."""
        return 0

    @property
    def vision(self) -> None:
        """An eye of its own: none."""
        return None

    def is_joint(self, layer: int) -> bool:
        """Whether a layer attends to prefix and rows at once; counted over the prefix's layers, as LeRobot does."""
        return self.joint_every > 0 and layer * self.prefix_every % self.joint_every == 0
