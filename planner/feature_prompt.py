"""Prompts of pictures and words as token ids: text in pieces around runs of image tokens.

Text between two pictures is encoded in one go, as the originals encode the whole prompt; runs of image tokens are put
in by number, so that no tokenizer needs to know them.

Shape legend: B batch, S prompt length.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dualsys.errors import InvalidObservation
from dualsys.planner.feature_config import PromptConfig


class Layout(NamedTuple):
    """What every prompt of a planner has in common."""

    config: PromptConfig
    image_token_id: int
    image_tokens: tuple[int, ...]
    """How many tokens each picture has."""
    max_text_tokens: int
    max_tokens: int


class Prompts(NamedTuple):
    """Right-padded token ids and which of them count."""

    input_ids_BS: Tensor
    mask_BS: Tensor


def formalized(instruction: str) -> str:
    """In lower case, without punctuation: what GR00T N1.7 was trained on."""
    return re.sub(r"[^\w\s]", "", instruction.lower())


def prompt_tokens(instruction: str, tokenizer: PreTrainedTokenizerBase, layout: Layout) -> list[int]:
    """Token ids of one prompt. An instruction that is too long is cut at its end.

    Raises:
        InvalidObservation: for an instruction that holds the image token itself.
    """
    words = formalized(instruction) if layout.config.formalize else instruction
    kept = tokenizer.encode(words, add_special_tokens=False)
    count = min(len(kept), layout.max_text_tokens)
    if count < len(kept):
        words = str(tokenizer.decode(kept[:count]))
    ids = _tokens(words, tokenizer, layout)
    while len(ids) > layout.max_tokens and count:
        count -= 1
        words = str(tokenizer.decode(kept[:count]))
        ids = _tokens(words, tokenizer, layout)
    return ids


def batch_prompts(rows: Sequence[Sequence[int]], pad: int) -> Prompts:
    """Token ids of unequal length as one batch."""
    length = max(map(len, rows))
    input_ids_BS = torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])
    mask_BS = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return Prompts(input_ids_BS, mask_BS)


def _tokens(words: str, tokenizer: PreTrainedTokenizerBase, layout: Layout) -> list[int]:
    config = layout.config
    ids: list[int] = []
    text = config.before
    for index, count in enumerate(layout.image_tokens):
        text += config.before_image.format(index=index + 1)
        ids += [*_encoded(text, tokenizer, layout), *[layout.image_token_id] * count]
        text = config.after_image
    return ids + _encoded(text + words + config.after, tokenizer, layout)


def _encoded(text: str, tokenizer: PreTrainedTokenizerBase, layout: Layout) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if layout.image_token_id in ids:
        raise InvalidObservation(f"the instruction holds the planner's image token: {text!r}")
    return ids
