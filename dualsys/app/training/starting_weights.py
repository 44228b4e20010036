"""Weights to start from: another controller's, where names and shapes agree.

A planner whose tokenizer has grown keeps the rows of the words it knew; new words have fresh ones.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn

from dualsys.planner.vlm_planner import VLMPlanner


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOver:
    """What came over and what did not."""

    copied: tuple[str, ...]
    left_fresh: tuple[str, ...]
    """In the new module, but of another shape or not in the old one."""
    new_words: int = 0
    """That the word embedding, carried over, has grown by."""

    def __str__(self) -> str:
        words = f", and room for {self.new_words} new words" if self.new_words else ""
        fresh = f"; fresh: {', '.join(self.left_fresh)}" if self.left_fresh else ""
        return f"{len(self.copied)} tensors carried over{words}{fresh}"


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
    known_VD, grown_VD = old.network.backbone.word_embedding.weight, new.network.backbone.word_embedding.weight
    with torch.no_grad():
        grown_VD[: len(known_VD)].copy_(known_VD)
    tensors = new.network.state_dict()
    tied = {name for name in result.left_fresh if tensors[name].data_ptr() == grown_VD.data_ptr()}
    return replace(
        result,
        copied=(*result.copied, *sorted(tied)),
        left_fresh=tuple(name for name in result.left_fresh if name not in tied),
        new_words=len(grown_VD) - len(known_VD),
    )
