"""What a planner of prefixes is built from: the pi family's and SmolVLA's cut, every difference named.

option              pi0           pi0.5            SmolVLA
family              paligemma     paligemma        smolvlm
num_layers          18 of 18      18 of 18         16 of 32
prompt              words         pi0.5's          words
tidy                openpi's      always           never
state               the actor's   in the prompt    a token of the prefix
words               scaled in the embedding        scaled by the root of the width, as images are
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.embodiment import PrefixSpec, SubgoalSpec


class StateConfig(BaseModel):
    """How a planner is told the robot's state, normalised: `(state - offset) / scale`, then padded with zeros."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: tuple[float, ...]
    """Of each state, physical."""
    scale: tuple[float, ...]
    """Of each state, physical, not 0."""
    padded: int = Field(default=32, gt=0)
    """States that the model is told; a robot with fewer has zeros behind. In a prompt mostly the robot's own number."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.offset) != len(self.scale) or len(self.offset) > self.padded:
            raise ValueError(
                f"offset has {len(self.offset)} entries, scale {len(self.scale)}: as many, and at most {self.padded}"
            )
        if 0.0 in self.scale:
            raise ValueError("scale has a 0")
        return self


class PrefixImages(BaseModel):
    """From a camera's picture to the vision model's square, in [-1, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Literal["stretch", "pad-around", "pad-before"] = "pad-around"
    """To the square: stretched, or whole with black on both sides (openpi), or above and to the left (SmolVLA)."""
    antialias: bool = False
    """Whether resizing to a smaller picture smooths first; LeRobot and openpi's PyTorch port don't."""


class PrefixPlannerConfig(BaseModel):
    """A vision-language model of transformers' class whose cache is the subgoal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["paligemma", "smolvlm"]
    """Whose class runs."""
    architecture: dict[str, Any]
    """Arguments of the class's configuration."""
    num_layers: int | None = Field(default=None, gt=0)
    """Decoder layers that are run, the first ones; None: all."""
    cameras: tuple[str, ...]
    """Cameras it looks through, in the order of the prefix."""
    optional_cameras: tuple[str, ...] = ()
    """Those of them that may be missing: black and masked then, as published checkpoints expect of a second wrist."""
    images: PrefixImages = PrefixImages()
    scale_embeddings: bool = False
    """Whether images' and words' embeddings are multiplied by the root of their width here (SmolVLA). Gemma's class
    scales its words itself, and images stay as they are."""
    image_frame: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Tokens before and behind each image (SmolVLA's `add_image_special_tokens`)."""
    prompt: Literal["words", "words-and-state"] = "words"
    """`words`: the instruction and a newline. `words-and-state`: pi0.5's, with the state in 256 bins."""
    begin: bool = True
    """Whether the prompt begins with the tokenizer's token for that."""
    tidy: bool = True
    """Whether words of such a prompt lose blanks around them, have no `_` and no newline within, and are followed by a
    newline that is a token of its own, as openpi's; LeRobot's pi0 takes them as they are. Without `begin`: never."""
    max_text_tokens: int = Field(default=48, gt=0)
    """Tokens of the prompt: cut at this many, padded to as many."""
    state: StateConfig | None = None
    """The robot's state, for a prompt or a token that tells it."""
    state_token: bool = False
    """Whether the state is a token of the prefix's end, seen by nothing before it (SmolVLA)."""
    padded_length: int = Field(default=0, ge=0)
    """Length that the prefix is padded to; 0: it isn't (LeRobot's `prefix_length`, where -1 means that)."""
    attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    """transformers' engine; `eager` is what peers are held to."""
    schema_id: str = "prefix/1"
    """What its keys and values mean; those of other weights mean something else."""
    max_age_s: float = Field(default=2.0, gt=0)
    """Age at which its subgoals expire for the actor."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = set(self.optional_cameras) - set(self.cameras)
        if not self.cameras or unknown:
            raise ValueError(f"cameras are {self.cameras}; optional_cameras names others: {sorted(unknown)}")
        if (self.state_token or self.prompt == "words-and-state") and self.state is None:
            raise ValueError("the state is told to the model, so `state` must say how it is normalised")
        side, patch = self.image_size, int(self.architecture["vision_config"]["patch_size"])
        if side % patch:
            raise ValueError(f"images of {side} pixels don't divide into patches of {patch}")
        return self

    @property
    def image_size(self) -> int:
        """Side of the square that is shown."""
        return int(self.architecture["vision_config"]["image_size"])

    @property
    def image_tokens(self) -> int:
        """Tokens of an image, its frame not counted."""
        grid = self.image_size // int(self.architecture["vision_config"]["patch_size"])
        shrink = int(self.architecture.get("scale_factor", 2)) if self.family == "smolvlm" else 1
        return grid**2 // shrink**2

    @property
    def length(self) -> int:
        """Tokens of a prefix, padding included."""
        framed = self.image_tokens + sum(map(len, self.image_frame))
        return max(len(self.cameras) * framed + self.max_text_tokens + self.state_token, self.padded_length)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What it emits."""
        text = self.architecture["text_config"]
        heads = int(text["num_attention_heads"])
        prefix = PrefixSpec(
            layers=self.num_layers or int(text["num_hidden_layers"]),
            heads=int(text.get("num_key_value_heads", heads)),
            head_dim=int(text.get("head_dim") or int(text["hidden_size"]) // heads),
        )
        return SubgoalSpec(
            num_tokens=self.length, dim=0, prefix=prefix, max_age_s=self.max_age_s, schema_id=self.schema_id
        )
