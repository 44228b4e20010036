"""SmolVLA's layout, as LeRobot publishes it.

    vlm_with_expert.vlm.model.{vision_model,connector,text_model}.*    the planner
    vlm_with_expert.vlm.lm_head.weight                                 not read, unless the word embedding isn't there
    state_proj.*                                                       the planner: its state is a token of the prefix
    vlm_with_expert.lm_expert.{layers,norm}.*                          the actor
    {action_in_proj,action_out_proj,action_time_mlp_*}.*               the actor

A policy's file puts `model.` in front. Files that were made of a whole language model carry layers that SmolVLA doesn't
run; `num_layers` leaves them out.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from dualsys.app.importing.layouts.pi import EXPERT_RULES, PREFIX
from dualsys.app.importing.rules import Halves, Rule, find_recipes, without_prefix

_VLM = r"vlm_with_expert\.vlm"
_EXPERT = r"vlm_with_expert\.lm_expert"

PLANNER_RULES: tuple[Rule, ...] = (
    Rule(pattern=rf"{_VLM}\.model\.((?:vision_model|connector|text_model)\..+)", name=r"model.\1"),
    Rule(pattern=r"state_proj\.(weight|bias)", name=r"state_in.\1"),
)
ACTOR_RULES: tuple[Rule, ...] = (
    *(Rule(pattern=rf"{_EXPERT}\.{rule.pattern}", name=rule.name) for rule in EXPERT_RULES),
    Rule(pattern=rf"{_EXPERT}\.lm_head\.weight", name=None),
    Rule(pattern=r"action_(in|out)_proj\.(weight|bias)", name=r"action_\1.\2"),
    Rule(pattern=r"action_time_mlp_(in|out)\.(weight|bias)", name=r"time_\1.\2"),
)
_TIED = ("vlm_with_expert.vlm.lm_head.weight", "vlm_with_expert.vlm.model.text_model.embed_tokens.weight")
_TEXT_LAYER = re.compile(rf"{_VLM}\.model\.text_model\.layers\.(\d+)\..+")


def split_smolvla(
    weights: Mapping[str, Tensor], *, num_layers: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The planner's weights and the actor's, under our names. Arguments and errors as of `plan_smolvla`."""
    return plan_smolvla(weights, num_layers=num_layers).of(weights)


def plan_smolvla(names: Iterable[str], *, num_layers: int | None = None) -> Halves:
    """How the planner's weights and the actor's are made.

    Args:
        names: LeRobot's, with or without its prefix.
        num_layers: Decoder layers that are run; those behind are left out. None: all of the file's.

    Raises:
        CheckpointError: for a tensor that this layout doesn't have, and for two of one name.
    """
    found = without_prefix(names, PREFIX)
    head, embedding = _TIED
    if head in found:
        source = found.pop(head)
        found.setdefault(embedding, source)
    if num_layers is not None:
        found = {name: source for name, source in found.items() if _layer(name) < num_layers}
    planner = {
        name: source for name, source in found.items() if name.startswith(("vlm_with_expert.vlm.", "state_proj."))
    }
    actor = {name: source for name, source in found.items() if name not in planner}
    return Halves(
        find_recipes(planner, PLANNER_RULES, layout="smolvla"), find_recipes(actor, ACTOR_RULES, layout="smolvla")
    )


def _layer(name: str) -> int:
    match = _TEXT_LAYER.fullmatch(name)
    return -1 if match is None else int(match[1])
