"""What a planner of feature tokens is built from, GR00T's cut: every hidden state of the prompt is a subgoal's token.

Facts of GR00T's versions:

    option               N1.5 (Eagle 2.5)      N1.6 (Eagle-Block2A)   N1.7 (Cosmos-Reason2, a Qwen3-VL)
    vision               SigLIP, 224 pixels    SigLIP 2               Qwen3-VL's, 16-pixel patches
    connector            one layer             unshuffle, two layers  of the class
    decoder layers       12 of 28              16 of 28               16 of 28
    feature              after the last norm   after the last norm    before it
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EagleConfig(BaseModel):
    """SigLIP, a connector and Qwen3, each of transformers' classes: Eagle 2.5."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["eagle"] = "eagle"
    vision_kind: Literal["siglip", "siglip2"] = "siglip"
    """SigLIP, or SigLIP 2 of any image size; without the windows and rotary positions that Eagle 3 may give it."""
    vision: dict[str, Any]
    """Arguments of transformers' `SiglipVisionConfig` or `Siglip2VisionConfig`."""
    text: dict[str, Any]
    """Arguments of transformers' `Qwen3Config`; its number of layers is `select_layer`."""
    select_layer: int = Field(default=12, gt=0)
    """Decoder layers that there are; the feature is their output after the last norm."""
    vision_layer: int = -1
    """Hidden state of the vision model that is read; -1: its output."""
    downsample: Literal["none", "shuffle", "unshuffle"] = "none"
    """Neighbouring patches joined into one token: not, as Eagle 2.5 does, or by `pixel_unshuffle` as Eagle 3 does. The
    two order the joined channels differently."""
    downsample_factor: int = Field(default=2, gt=1)
    """Patches joined along each side (the originals' `1 / downsample_ratio`)."""
    connector_layers: Literal[1, 2] = 1
    """Layers from vision to words: one linear layer, or norm, linear, GELU, linear."""
    project_to: int | None = None
    """Width that features are projected to (`project_to_dim`); None: they are left as they are."""
    image_token_id: int = 151669
    """Token of the prompt whose embedding is replaced by one of the image's."""

    @property
    def width(self) -> int:
        """Of the features."""
        return self.project_to or int(self.text["hidden_size"])


class Qwen3VLConfig(BaseModel):
    """A Qwen3-VL of transformers' class, its decoder cut: Cosmos-Reason2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["qwen3_vl"] = "qwen3_vl"
    architecture: dict[str, Any]
    """Arguments of transformers' `Qwen3VLConfig`; its decoder's number of layers is `select_layer`."""
    select_layer: int = Field(default=16, gt=0)
    """Decoder layers that there are; the feature is the last one's output, before the last norm."""

    @property
    def width(self) -> int:
        """Of the features."""
        return int(self.architecture["text_config"]["hidden_size"])

    @property
    def image_token_id(self) -> int:
        """Token of the prompt whose embedding is replaced by one of the image's."""
        return int(self.architecture["image_token_id"])


class ImagesConfig(BaseModel):
    """From a camera's picture to the vision model's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, gt=0)
    """Side of the square that is shown."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Share of the picture's sides that is kept, about its middle, before it is resized."""
    letterbox: bool = False
    """Whether black bars on both sides make it a square before all else."""
    resize_first: bool = False
    """Whether the whole picture is resized before its middle is cut out, and once more behind (GR00T N1.7)."""
    resample: Literal["bilinear", "area"] = "bilinear"
    """How it is resized: antialiased bilinear, or the mean over the area as OpenCV's."""
    shape: tuple[int, int] | None = None
    """Height and width that are shown, where pictures keep their form (GR00T N1.7): each resize makes the shortest side
    `size` long, and a last one, bicubic, makes these of both sides. None: a square."""

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of what the vision model sees."""
        return self.shape or (self.size, self.size)


class PromptConfig(BaseModel):
    """Pieces of text around pictures and instruction; `{index}` counts the pictures from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str
    before_image: str
    after_image: str
    after: str
    formalize: bool = True
    """Whether instructions are put in lower case and lose their punctuation."""


EAGLE_PROMPT = PromptConfig(
    before="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
    before_image="<image {index}><img>",
    after_image="</img>",
    after="<|im_end|>\n<|im_start|>assistant\n",
    formalize=False,
)
"""GR00T N1.5's."""
QWEN3_VL_PROMPT = PromptConfig(
    before="<|im_start|>user\n",
    before_image="<|vision_start|>",
    after_image="<|vision_end|>",
    after="<|im_end|>\n",
)
"""GR00T N1.7's."""


class FeaturePlannerConfig(BaseModel):
    """A planner of feature tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Annotated[EagleConfig | Qwen3VLConfig, Field(discriminator="kind")]
    """The vision-language model."""
    cameras: tuple[str, ...] = Field(default=("head",), min_length=1)
    """Cameras it looks through, in the prompt's order."""
    images: ImagesConfig = ImagesConfig()
    """How pictures are shown to it."""
    prompt: PromptConfig
    """Text around pictures and instruction."""
    max_text_tokens: int = Field(default=64, gt=0)
    """Instructions are cut at this many tokens."""
    num_tokens: int = Field(gt=0)
    """`k`: the most tokens that a prompt has; shorter ones are padded and masked."""
    attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    """Of transformers' classes."""
    schema_id: str = "features/1"
    """What its tokens mean."""
    max_age_s: float = Field(default=2.0, gt=0)
    """Age at which its subgoals expire for the actor."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"cameras are named twice: {', '.join(self.cameras)}")
        return self
