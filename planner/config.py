"""What a VLM planner is built from; stored in the checkpoint. Swapping the backbone is a line of it."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ReadoutConfig(BaseModel):
    """Learned queries over the backbone's hidden states."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_tokens: int = Field(default=8, gt=0)
    """`k`: queries, and tokens of a subgoal."""
    dim: int = Field(default=64, gt=0)
    """`d`: width of a subgoal's tokens."""
    width: int = Field(default=128, gt=0)
    """Width of the queries inside the readout."""
    depth: int = Field(default=2, gt=0)
    """Blocks of attention to words, attention to the picture, and feed-forward."""
    num_heads: int = Field(default=4, gt=0)
    """Attention heads."""


class VLMPlannerConfig(BaseModel):
    """A Hugging Face vision-language backbone, where to leave it, and how to read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    """A family (`qwen3_vl`; all are in `tiny_architectures.TINY`), built with fresh weights, or name or folder of a
    pretrained model (`google/paligemma-3b-pt-224`)."""
    architecture: dict[str, Any] | None = None
    """Arguments of the backbone's Hugging Face configuration; None: a pretrained model brings its own, a family has a
    tiny one."""
    image_size: int | None = Field(default=None, gt=0)
    """Side of the square that pictures are resized to, in pixels, for families whose encoders take any size (Qwen-VL,
    Gemma 4, Mistral 3, LFM2-VL). None: the encoder's own, else 224, or 96 for a tiny architecture."""
    exit_layer: int | None = Field(default=None, gt=0)
    """Read the hidden states after this many decoder layers and skip the rest; None: run all, read after the norm."""
    camera: str = "head"
    """Camera the planner looks through."""
    other_cameras: tuple[str, ...] = ()
    """What it looks through on robots that have no camera of that name: the first that there is."""
    max_text_tokens: int = Field(default=32, gt=0)
    """Instructions are cut at this many tokens."""
    cut: Literal["readout", "features", "prefix"] = "readout"
    """What the subgoal is (`cuts.py`): what learned queries read, hidden states, or keys and values of each layer."""
    readout: ReadoutConfig = ReadoutConfig()
    """From hidden states to the subgoal; for that cut."""
    schema_id: str = "tokens/1"
    """What its tokens mean; training names the run, because tokens of another run mean something else."""
    max_age_s: float = Field(default=2.0, gt=0)
    """Age at which its subgoals expire for the actor."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.readout.width % self.readout.num_heads:
            raise ValueError(
                f"readout.width {self.readout.width} is not divisible by num_heads {self.readout.num_heads}"
            )
        return self


TINY_PALIGEMMA: dict[str, Any] = {
    "projection_dim": 128,
    # transformers' default, 0.02, is for widths of thousands; at 128 it leaves the layers all but silent at first.
    "initializer_range": 0.08,
    "vision_config": {
        "image_size": 96,
        "patch_size": 12,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vision_use_head": False,
    },
    "text_config": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "initializer_range": 0.08,
    },
}
"""PaliGemma's architecture at the size of the shipped planner: SigLIP on 96-pixel images, a three-layer Gemma."""
