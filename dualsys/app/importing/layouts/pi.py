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
from typing import Literal, TypeAlias, TypeVar

from torch import Tensor

from dualsys.app.importing.rules import Halves, Rule, find_recipes, without_prefix

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
        # Transformers before 4.52 nested the two the other way round.
        pattern=rf"{_PALIGEMMA}\.(?:model\.language_model|language_model\.model)\.(embed_tokens|layers|norm)\.(.+)",
        name=r"model.language_model.\1.\2",
    ),
)


def split_pi(
    weights: Mapping[str, Tensor], version: PiVersion | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The planner's weights and the actor's, under our names. Arguments and errors as of `plan_pi`."""
    return plan_pi(weights, version).of(weights)


def plan_pi(names: Iterable[str], version: PiVersion | None = None) -> Halves:
    """How the planner's weights and the actor's are made.

    Args:
        names: A peer's, with or without LeRobot's prefix.
        version: Which of them it is; None: told by its norms.

    Raises:
        CheckpointError: for a tensor that this layout doesn't have, and for two of one name.
    """
    found = without_prefix(names, PREFIX)
    version = version or version_of(found)
    for head in _HEADS:
        if f"{_MODEL}{head}" in found:
            source = found.pop(f"{_MODEL}{head}")
            if not any(f"{_MODEL}{embedding}" in found for embedding in _EMBEDDINGS):
                found[f"{_MODEL}{_EMBEDDINGS[0]}"] = source
    actor_rules = (*ACTOR_RULES, *STATE_RULES[version])
    planner = {name: source for name, source in found.items() if name.startswith(_MODEL)}
    actor = {name: source for name, source in found.items() if name not in planner}
    return Halves(
        find_recipes(planner, PLANNER_RULES, layout=version), find_recipes(actor, actor_rules, layout=version)
    )


_MODEL = "paligemma_with_expert.paligemma."
_HEADS = ("lm_head.weight", "language_model.lm_head.weight")
_EMBEDDINGS = ("model.language_model.embed_tokens.weight", "language_model.model.embed_tokens.weight")
"""A head and an embedding that are one tensor: newer transformers' name first."""


def version_of(names: Iterable[str]) -> PiVersion:
    """Which version's tensors these are: pi0.5's expert has norms with a projector."""
    return "pi05" if any(".input_layernorm.dense." in name for name in names) else "pi0"


Value = TypeVar("Value")


def installed_names(weights: Mapping[str, Value], expected: Iterable[str]) -> dict[str, Value]:
    """A planner's weights as the installed transformers calls them: with `vision_model.` in the tower, or without."""
    names = set(expected)
    nested = {name.replace(".vision_tower.vision_model.", ".vision_tower."): name for name in names}
    return {name if name in names else nested.get(name, name): value for name, value in weights.items()}
