"""pi0's and pi0.5's layout, as openpi's PyTorch port and LeRobot publish them.

    paligemma_with_expert.paligemma.model.{vision_tower,multi_modal_projector,language_model}.*    the planner
    paligemma_with_expert.paligemma.lm_head.weight                                                 its word embedding
    paligemma_with_expert.gemma_expert.model.{layers,norm}.*                                       the actor
    {state_proj,action_in_proj,action_out_proj,action_time_mlp_*,time_mlp_*}.*                     the actor

LeRobot puts `model.` in front. Published files carry the word embedding under the name of the language head, to which
it is tied; where both are there, the embedding's own is read. Transformers up to 5.5 called the vision tower's tensors
`vision_tower.vision_model.*`; newer ones leave that word out, and so do we (`installed_names` puts it back). The
network of the flow time has two names, too: what one version calls `time_mlp_*`, others call `action_time_mlp_*`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from torch import Tensor

from dualsys.app.importing.rules import Rule, rename

PiVersion: TypeAlias = Literal["pi0", "pi05"]
PREFIX = "model."
_LAYER = r"layers\.(\d+)"

EXPERT_RULES: tuple[Rule, ...] = (
    Rule(pattern=rf"{_LAYER}\.self_attn\.([qkv])_proj\.(weight|bias)", name=r"layers.\1.attention.to_\2.\3"),
    Rule(pattern=rf"{_LAYER}\.self_attn\.o_proj\.(weight|bias)", name=r"layers.\1.attention.to_out.\2"),
    Rule(pattern=rf"{_LAYER}\.mlp\.(gate|up|down)_proj\.(weight|bias)", name=r"layers.\1.feed_forward.\2.\3"),
    Rule(pattern=rf"{_LAYER}\.input_layernorm\.weight", name=r"layers.\1.norm_attention.weight"),
    Rule(pattern=rf"{_LAYER}\.post_attention_layernorm\.weight", name=r"layers.\1.norm_feed_forward.weight"),
    Rule(
        pattern=rf"{_LAYER}\.input_layernorm\.dense\.(weight|bias)", name=r"layers.\1.norm_attention.to_modulation.\2"
    ),
    Rule(
        pattern=rf"{_LAYER}\.post_attention_layernorm\.dense\.(weight|bias)",
        name=r"layers.\1.norm_feed_forward.to_modulation.\2",
    ),
    Rule(pattern=r"norm\.weight", name="norm_out.weight"),
    Rule(pattern=r"norm\.dense\.(weight|bias)", name=r"norm_out.to_modulation.\1"),
)
"""Of a decoder of transformers' names that is an expert; SmolVLA's is one, too."""

_GEMMA = r"paligemma_with_expert\.gemma_expert"
_PALIGEMMA = r"paligemma_with_expert\.paligemma"

ACTOR_RULES: tuple[Rule, ...] = (
    *(Rule(pattern=rf"{_GEMMA}\.model\.{rule.pattern}", name=rule.name) for rule in EXPERT_RULES),
    Rule(pattern=rf"{_GEMMA}\.lm_head\.weight", name=None),  # nobody reads words off an expert
    Rule(pattern=r"action_(in|out)_proj\.(weight|bias)", name=r"action_\1.\2"),
    Rule(pattern=r"(?:action_)?time_mlp_(in|out)\.(weight|bias)", name=r"time_\1.\2"),
)
STATE_RULES: dict[PiVersion, tuple[Rule, ...]] = {
    "pi0": (Rule(pattern=r"state_proj\.(weight|bias)", name=r"state_in.\1"),),
    # pi0.5 is told the state in words; some files still carry the projector, which its authors skip.
    "pi05": (Rule(pattern=r"state_proj\.(weight|bias)", name=None),),
}
PLANNER_RULES: tuple[Rule, ...] = (
    Rule(pattern=rf"{_PALIGEMMA}\.(?:model\.)?vision_tower\.(?:vision_model\.)?(.+)", name=r"model.vision_tower.\1"),
    Rule(
        pattern=rf"{_PALIGEMMA}\.(?:model\.)?multi_modal_projector\.linear\.(weight|bias)",
        name=r"model.multi_modal_projector.linear.\1",
    ),
    Rule(
        pattern=rf"{_PALIGEMMA}\.model\.language_model\.(embed_tokens|layers|norm)\.(.+)",
        name=r"model.language_model.\1.\2",
    ),
)


def split_pi(
    weights: Mapping[str, Tensor], version: PiVersion | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The planner's weights and the actor's, under our names.

    Args:
        weights: A peer's, with or without LeRobot's prefix.
        version: Which of them it is; None: told by its norms.

    Raises:
        CheckpointError: for a tensor that this layout doesn't have, and for two of one name.
    """
    found = {name.removeprefix(PREFIX): value for name, value in weights.items()}
    version = version or version_of(found)
    head, embedding = (f"paligemma_with_expert.paligemma.{name}" for name in _TIED)
    if head in found:
        value = found.pop(head)
        found.setdefault(embedding, value)
    actor_rules = (*ACTOR_RULES, *STATE_RULES[version])
    planner = {name: value for name, value in found.items() if name.startswith("paligemma_with_expert.paligemma.")}
    actor = {name: value for name, value in found.items() if name not in planner}
    return rename(planner, PLANNER_RULES, layout=version), rename(actor, actor_rules, layout=version)


_TIED = ("lm_head.weight", "model.language_model.embed_tokens.weight")


def version_of(names: Iterable[str]) -> PiVersion:
    """Which version's tensors these are: pi0.5's expert has norms with a projector."""
    return "pi05" if any(".input_layernorm.dense." in name for name in names) else "pi0"


def installed_names(weights: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """A planner's weights as the installed transformers calls them: with `vision_model.` in the tower, or without."""
    names = set(expected)
    nested = {name.replace(".vision_tower.vision_model.", ".vision_tower."): name for name in names}
    return {name if name in names else nested.get(name, name): value for name, value in weights.items()}
