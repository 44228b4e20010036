"""GR00T's layouts, as NVIDIA publishes them and LeRobot reads them: N1.5, N1.6, N1.7.

    backbone.eagle_model.{vision_model,mlp1,language_model}.*    N1.5
    backbone.model.{vision_model,mlp1,language_model}.*          N1.6
    backbone.model.{model.visual,model.language_model}.*         N1.7
    action_head.*                                                all

LeRobot's own folders put `_groot_model.` in front. The language head is tied to the embedding and isn't read. Two
things are not only renamed: keys' and values' projections are one here, and the last norm of the transformer tells
shift before scale there, scale before shift here.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dualsys.app.importing.rules import Halves, Rule, find_recipes, without_prefix
from dualsys.errors import CheckpointError

Version: TypeAlias = Literal["n1_5", "n1_6", "n1_7"]
PREFIX = "_groot_model."


def _swap_halves(value: Tensor) -> Tensor:
    first, second = value.chunk(2)
    return torch.cat([second, first])


def _attention(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(pattern=rf"{theirs}\.attn1\.to_q\.(weight|bias)", name=rf"{ours}.attention.to_q.\2"),
        Rule(pattern=rf"{theirs}\.attn1\.to_k\.(weight|bias)", name=rf"{ours}.attention.to_kv.\2", place=0),
        Rule(pattern=rf"{theirs}\.attn1\.to_v\.(weight|bias)", name=rf"{ours}.attention.to_kv.\2", place=1),
        Rule(pattern=rf"{theirs}\.attn1\.to_out\.0\.(weight|bias)", name=rf"{ours}.attention.to_out.\2"),
        Rule(pattern=rf"{theirs}\.ff\.net\.0\.proj\.(weight|bias)", name=rf"{ours}.feed_forward.0.\2"),
        Rule(pattern=rf"{theirs}\.ff\.net\.2\.(weight|bias)", name=rf"{ours}.feed_forward.3.\2"),
    )


def _category(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (Rule(pattern=rf"{theirs}\.W", name=f"{ours}.weight"), Rule(pattern=rf"{theirs}\.b", name=f"{ours}.bias"))


_BLOCK, _CONTEXT = r"model\.transformer_blocks\.(\d+)", r"vl_self_attention\.transformer_blocks\.(\d+)"

ACTOR_RULES: tuple[Rule, ...] = (
    *_attention(_BLOCK, r"transformer.blocks.\1"),
    Rule(
        pattern=rf"{_BLOCK}\.norm1\.linear\.(weight|bias)",
        name=r"transformer.blocks.\1.norm_attention.to_scale_shift.\2",
    ),
    *_attention(_CONTEXT, r"context_blocks.\1"),
    Rule(pattern=rf"{_CONTEXT}\.norm1\.(weight|bias)", name=r"context_blocks.\1.norm_attention.\2"),
    Rule(pattern=rf"{_CONTEXT}\.norm3\.(weight|bias)", name=r"context_blocks.\1.norm_feed_forward.\2"),
    Rule(pattern=r"vlln\.(weight|bias)", name=r"context_norm.\1"),
    Rule(
        pattern=r"model\.timestep_encoder\.timestep_embedder\.linear_1\.(weight|bias)",
        name=r"transformer.time_in.0.\1",
    ),
    Rule(
        pattern=r"model\.timestep_encoder\.timestep_embedder\.linear_2\.(weight|bias)",
        name=r"transformer.time_in.2.\1",
    ),
    Rule(
        pattern=r"model\.proj_out_1\.(weight|bias)",
        name=r"transformer.norm_out.to_scale_shift.\1",
        change=_swap_halves,
    ),
    Rule(pattern=r"model\.proj_out_2\.(weight|bias)", name=r"transformer.out.\1"),
    *_category(r"state_encoder\.layer1", "state_in.hidden"),
    *_category(r"state_encoder\.layer2", "state_in.out"),
    *_category(r"action_encoder\.W1", "action_in.rows"),
    *_category(r"action_encoder\.W2", "action_in.mix"),
    *_category(r"action_encoder\.W3", "action_in.out"),
    *_category(r"action_decoder\.layer1", "action_out.hidden"),
    *_category(r"action_decoder\.layer2", "action_out.out"),
    Rule(pattern=r"future_tokens\.weight", name="future_tokens"),
    Rule(pattern=r"position_embedding\.weight", name="position"),
    Rule(pattern=r"mask_token", name="state_mask_token", change=lambda value: value[0]),
)

_EAGLE_RULES: tuple[Rule, ...] = (
    Rule(pattern=r"vision_model\.(?:vision_model\.)?(.+)", name=r"vision.\1"),
    Rule(pattern=r"mlp1\.(\d+\.(?:weight|bias))", name=r"connector.\1"),
    Rule(pattern=r"language_model\.model\.(.+)", name=r"language.\1"),
    Rule(pattern=r"language_model\.lm_head\.weight", name=None),
)

PLANNER_RULES: dict[Version, tuple[Rule, ...]] = {
    "n1_5": (
        *(
            Rule(pattern=rf"eagle_model\.{rule.pattern}", name=rule.name, place=rule.place, change=rule.change)
            for rule in _EAGLE_RULES
        ),
        Rule(pattern=r"eagle_linear\.(weight|bias)", name=r"project.\1"),
    ),
    "n1_6": tuple(Rule(pattern=rf"model\.{rule.pattern}", name=rule.name) for rule in _EAGLE_RULES),
    "n1_7": (
        # The newest layout nests the model; checkpoints saved by older transformers may not.
        Rule(pattern=r"model\.(?:model\.)?((?:visual|language_model)\..+)", name=r"model.\1"),
        Rule(pattern=r"model\.lm_head\.weight", name=None),
    ),
}


def split_groot(weights: Mapping[str, Tensor], version: Version) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The planner's weights and the actor's, under our names. Errors as of `plan_groot`."""
    return plan_groot(weights, version).of(weights)


def plan_groot(names: Iterable[str], version: Version) -> Halves:
    """How the planner's weights and the actor's are made.

    Raises:
        CheckpointError: for a tensor that is of neither, and one whose counterpart is missing.
    """
    halves: dict[str, dict[str, str]] = {"backbone": {}, "action_head": {}}
    for name, source in without_prefix(names, PREFIX).items():
        half, _, rest = name.partition(".")
        if half not in halves:
            raise CheckpointError(f"GR00T {version}: {name!r} is neither of the backbone nor of the action head")
        halves[half][rest] = source
    layout = f"GR00T {version}"
    return Halves(
        find_recipes(halves["backbone"], PLANNER_RULES[version], layout=f"{layout} backbone"),
        find_recipes(halves["action_head"], ACTOR_RULES, layout=f"{layout} action head"),
    )
