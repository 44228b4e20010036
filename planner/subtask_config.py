"""What a language head is built from, and when it is sure; stored beside the planner's weights."""

from pydantic import BaseModel, ConfigDict, Field


class SubtaskConfig(BaseModel):
    """Sizes of the language head, its bounds, and its threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary_size: int = Field(gt=0)
    """Tokens of the planner's tokenizer."""
    embedding_width: int = Field(gt=0)
    """Width of the backbone's word embedding, which the head reads and which stays as it is."""
    token_dim: int = Field(gt=0)
    """Width of the subgoal's tokens."""
    state_size: int = Field(gt=0)
    """States of the robot."""
    width: int = Field(default=96, gt=0)
    """Of the part that writes words."""
    sense_width: int = Field(default=64, gt=0)
    """Of the part that senses progress."""
    num_heads: int = Field(default=4, gt=0)
    """Attention heads of both."""
    depth: int = Field(default=2, gt=0)
    """Layers that read; one writes."""
    max_instruction_tokens: int = Field(default=128, gt=0)
    """An instruction is cut at this many: longer than the latent's prompt may be."""
    max_step_tokens: int = Field(default=20, gt=0)
    """A step's words end here at the latest."""
    max_seconds: float | None = Field(default=1.0, gt=0)
    """Words that take longer are dropped, the step before goes on, and they are tried again behind the next plan.

    Of the thread's processor time, so that the words are the same however busy the machine is. A model of a few million
    parameters takes some 20 ms. None: bounded by tokens alone.
    """
    sure: float = Field(default=0.5, ge=0, le=1)
    """Probability from which a step counts as done."""
    in_a_row: int = Field(default=1, gt=0)
    """So many observations after each other must be sure."""
    patience_s: float = Field(default=0.6, ge=0)
    """A step isn't done before it has been on for so long."""
