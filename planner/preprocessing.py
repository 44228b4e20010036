"""From an observation to the backbone's inputs. Our own, because processors need a hub or torchvision.

Images: resized to the backbone's square (bilinear, antialiased) and scaled to [-1, 1], as SigLIP's processor does with
mean and deviation 0.5; a family with others scales these. Text: the picture's place, instruction, newline,
right-padded.

Shape legend: B batch, C channels, H height, W width, S prompt length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from dualsys.messages import ImageArray


class Prompt(NamedTuple):
    """Token ids and which of them count."""

    input_ids_BS: Tensor
    mask_BS: Tensor


def images_to_pixels(images_BHWC: ImageArray, size: int, device: torch.device | None = None) -> Tensor:
    """`(B, h, w, 3)` uint8 to `(B, 3, size, size)` float32 in [-1, 1], on a device: sent there as bytes, a quarter."""
    pixels_BCHW = rearrange(torch.from_numpy(np.array(images_BHWC)).to(device), "b h w c -> b c h w").float()
    if pixels_BCHW.shape[-2:] != (size, size):
        pixels_BCHW = F.interpolate(pixels_BCHW, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return pixels_BCHW / 127.5 - 1.0


def build_prompt(
    instructions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    head: Sequence[int],
    max_text_tokens: int,
    known: dict[str, list[int]] | None = None,
) -> Prompt:
    """Prompt of a batch of instructions.

    Args:
        instructions: One for each prompt.
        tokenizer: Of the words.
        head: Tokens before the words: the picture's place (`Backbone.prompt_head`).
        max_text_tokens: Instructions are cut at so many.
        known: Tokens of instructions that were met before; the others are added.
    """
    known = {} if known is None else known
    newline = tokenizer.encode("\n", add_special_tokens=False)
    rows = []
    for instruction in instructions:
        if instruction not in known:
            known[instruction] = tokenizer.encode(instruction.strip(), add_special_tokens=False)[:max_text_tokens]
        rows.append([*head, *known[instruction], *newline])
    length = max(map(len, rows))
    pad = tokenizer.pad_token_id or 0  # which token is masked doesn't matter
    input_ids_BS = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
    mask_BS = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return Prompt(input_ids_BS, mask_BS)


def longest_prompt(head: Sequence[int], tokenizer: PreTrainedTokenizerBase, max_text_tokens: int) -> int:
    """Tokens of the longest prompt that `build_prompt` makes."""
    return len(head) + max_text_tokens + len(tokenizer.encode("\n", add_special_tokens=False))
