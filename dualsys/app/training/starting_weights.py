"""Weights to start from: another controller's, where names and shapes agree.

A planner whose tokenizer has grown keeps the rows of the words it knew; new words have fresh ones.
"""

from dataclasses import dataclass

import torch
from torch import nn

from dualsys.planner.vlm_planner import VLMPlanner


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOver:
    """What came over and what did not."""

    copied: tuple[str, ...]
    left_fresh: tuple[str, ...]
    """In the new module, but of another shape or not in the old one."""

    def __str__(self) -> str:
        fresh = f"; fresh: {', '.join(self.left_fresh)}" if self.left_fresh else ""
        return f"{len(self.copied)} tensors carried over{fresh}"


def carry_over(new: nn.Module, old: nn.Module) -> CarriedOver:
    """Copy every tensor that both have in the same shape."""
    source = old.state_dict()
    target = new.state_dict()
    copied = tuple(name for name, value in target.items() if name in source and source[name].shape == value.shape)
    with torch.no_grad():
        for name in copied:
            target[name].copy_(source[name])
    return CarriedOver(copied=copied, left_fresh=tuple(name for name in target if name not in copied))


def carry_over_planner(new: VLMPlanner, old: VLMPlanner) -> CarriedOver:
    """As `carry_over`, with the words that both know, whose numbers are the same."""
    result = carry_over(new.network, old.network)
    with torch.no_grad():
        known_VD = old.network.backbone.word_embedding.weight
        new.network.backbone.word_embedding.weight[: len(known_VD)].copy_(known_VD)
    return result
