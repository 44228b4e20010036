"""What heads other than flow matching are built from; stored in the checkpoint.

Each has the `shape` that a flow expert has, so that they can be compared at one size, and what is its own.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.actor.config import FastVisionConfig, FlowActorConfig


class HeadConfig(BaseModel):
    """What all have: the transformer's shape, and how rows are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: FlowActorConfig = FlowActorConfig(smoothing_window=0)
    """Horizon, time between rows, width, depth, heads, noise, fast vision. Its solver and its steps are flow's own, and
    not read."""

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return self.shape.horizon

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return self.shape.dt_s

    @property
    def noise(self) -> Literal["held", "fresh"]:
        """Whether every chunk of an episode starts from the same noise."""
        return self.shape.noise

    @property
    def smoothing_window(self) -> int:
        """Rows over which rows are smoothed; 0: as they come."""
        return self.shape.smoothing_window

    @property
    def vision(self) -> FastVisionConfig | None:
        """Fast vision."""
        return self.shape.vision

    @property
    def max_prefix(self) -> int:
        """None of these has learned to continue a prefix."""
        return 0

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if self.shape.max_prefix:
            raise ValueError("shape.max_prefix: only flow matching learns to continue a prefix")
        return self


class RegressionConfig(HeadConfig):
    """Every row in one pass, by regression (OpenVLA-OFT, arXiv 2502.19645, section 4)."""

    loss: Literal["l1", "l2"] = "l1"
    """Of a row's error."""


class UNetConfig(BaseModel):
    """Shape of Diffusion Policy's one-dimensional U-Net; defaults are LeRobot's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    down_dims: tuple[int, ...] = (512, 1024, 2048)
    """Channels of each level; each but the last halves the rows."""
    kernel_size: int = 5
    groups: int = 8
    """Of the group norm; divides every level's channels."""
    step_dim: int = 128
    """Width of the diffusion step's embedding."""
    film_scale: bool = True
    """Whether the condition scales as well as shifts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [dim for dim in self.down_dims if dim % self.groups]
        if wrong or self.down_dims[0] % 8:
            raise ValueError(f"down_dims {self.down_dims} don't divide into {self.groups} groups, or the first into 8")
        return self

    @property
    def shrink(self) -> int:
        """What the number of rows has to be a multiple of."""
        return int(2 ** (len(self.down_dims) - 1))


class DiffusionConfig(HeadConfig):
    """Denoising diffusion over rows: DDPM and DDIM (Diffusion Policy, arXiv 2303.04137; Octo, arXiv 2405.12213)."""

    train_steps: int = Field(default=100, gt=1)
    """Levels of noise."""
    num_inference_steps: int = Field(default=10, gt=0)
    """Levels that sampling visits, evenly spaced."""
    schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2"
    """How noise grows (names of diffusers)."""
    prediction: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the network tells: the noise, the rows, or the velocity between them."""
    eta: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fresh noise in each step: 0 is DDIM (the same noise gives the same rows), 1 is DDPM."""
    clip: float | None = Field(default=4.0, gt=0)
    """Bound of the rows that a step believes in, in normalised units: where a level has hardly any data in it, a small
    error of the network is a large one of the rows. The noise stays what the network told, but in DDPM. None: none."""
    unet: UNetConfig | None = None
    """Diffusion Policy's network in place of the transformer."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_inference_steps > self.train_steps:
            raise ValueError(f"num_inference_steps {self.num_inference_steps} exceeds train_steps {self.train_steps}")
        if self.unet is not None and self.horizon % self.unet.shrink:
            raise ValueError(
                f"the U-Net halves its rows {len(self.unet.down_dims) - 1} times; horizon {self.horizon} is no "
                f"multiple of {self.unet.shrink}"
            )
        if self.unet is not None and self.vision is not None:
            raise ValueError("the U-Net reads state and subgoal alone; leave out shape.vision")
        return self


class ActConfig(HeadConfig):
    """Action chunking with transformers: a conditional variational autoencoder (ACT, arXiv 2304.13705).

    `shape.width` and `shape.num_heads` are those of its transformer; `shape.depth` is not read.
    """

    feed_forward: int = Field(default=512, gt=0)
    activation: Literal["relu", "gelu"] = "relu"
    """Within the feed-forward layers."""
    encoder_layers: int = Field(default=4, gt=0)
    decoder_layers: int = Field(default=1, gt=0)
    vae_layers: int = Field(default=4, gt=0)
    latent_dim: int = Field(default=32, gt=0)
    kl_weight: float = Field(default=10.0, ge=0)
    """Of the latent's divergence from the standard normal."""
    feature_channels: int = Field(default=0, ge=0)
    """Channels of a map of features that stands for a picture; 0: no picture but the subgoal."""


class TokensConfig(HeadConfig):
    """Rows as words, one after the other: 256 bins (RT-2, arXiv 2307.15818; OpenVLA, arXiv 2406.09246) or FAST
    (arXiv 2501.09747).
    """

    tokenizer: Literal["bins", "fast"] = "bins"
    """`bins`: a word for each number. `fast`: cosine transform, rounding, byte-pair merges of what is common."""
    bins: int = Field(default=256, gt=1)
    """For `bins`."""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Range of each action in normalised units, from the data's 1st and 99th hundredth; none: from -3 to 3."""
    scale: float = Field(default=10.0, gt=0)
    """For `fast`: steps a unit of a coefficient."""
    vocabulary: int = Field(default=512, gt=0)
    """For `fast`: words."""
    merges: str = ""
    """For `fast`: the fitted tokenizer, as JSON of the library `tokenizers`."""
    offset: int = 0
    """For `fast`: what is added to a rounded coefficient to make it a letter."""
    max_words: int = Field(default=256, gt=0)
    """For `fast`: of a chunk, at most; greedy decoding ends there."""


AnyHeadConfig = RegressionConfig | DiffusionConfig | ActConfig | TokensConfig
