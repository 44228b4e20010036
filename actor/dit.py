"""A diffusion transformer over action tokens that cross-attends to features, as GR00T's (arXiv 2503.14734).

A block normalises with a scale and shift made of the flow time, attends (to the features, or to its own tokens), adds;
normalises plainly, feeds forward, adds. There is no gate. What depends on less than the tokens is taken out of the
sampling loop: keys and values of the features depend on these alone, scales and shifts on the flow time alone.

Shape legend: B batch, T tokens, K features, C their width, D width, E twice D, N heads, H head width, L blocks.
"""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.layers import AdaptiveNorm, Attention

TIME_WAVES = 256
"""Width of the sinusoidal embedding of a time's bucket."""


class KeptContext(NamedTuple):
    """Keys and values of the features for each block that reads them, and which of them it reads."""

    keys_LBNKH: tuple[Tensor, ...]
    values_LBNKH: tuple[Tensor, ...]
    masks_LBK: tuple[Tensor, ...]


class KeptTime(NamedTuple):
    """Scale and shift of each block's norm, and of the last norm, for one flow time."""

    blocks_LBE: tuple[Tensor, ...]
    out_BE: Tensor


class FeedForward(nn.Sequential):
    """Four times as wide inside."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(width, 4 * width),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )


class DiTBlock(nn.Module):
    """Attention over a context, or over its own tokens, and a feed-forward layer."""

    def __init__(self, config: DiTConfig, *, cross: bool) -> None:
        super().__init__()
        width = config.width
        context_width = config.context_width if cross else width
        self.norm_attention = AdaptiveNorm(width)
        self.attention = Attention(width, context_width, config.num_heads, backend=config.attention)
        self.drop = _drop_twice(config.dropout)
        self.norm_feed_forward = nn.LayerNorm(width, elementwise_affine=False)
        self.feed_forward = FeedForward(width, config.dropout)

    def forward(
        self, x_BTD: Tensor, modulation_BE: Tensor, kept: tuple[Tensor, Tensor] | None, mask_BK: Tensor | None
    ) -> Tensor:
        """`(B, T, D)`, given keys and values of a context and which of it is read, or None for its own tokens."""
        normed_BTD = self.norm_attention.modulate(x_BTD, modulation_BE)
        keys_values = self.attention.keys_values(normed_BTD) if kept is None else kept
        x_BTD = x_BTD + self.drop(self.attention.attend(normed_BTD, *keys_values, mask_BK))
        out: Tensor = x_BTD + self.feed_forward(self.norm_feed_forward(x_BTD))
        return out


class ContextBlock(nn.Module):
    """Self-attention over the features, without flow time; norms have weights of their own."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.context_width
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, width, config.context_heads, backend=config.attention)
        self.drop = _drop_twice(config.dropout)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config.dropout)

    def forward(self, x_BKC: Tensor, mask_BK: Tensor) -> Tensor:
        """`(B, K, C)`; `mask` is False where a feature must not be read."""
        normed_BKC = self.norm_attention(x_BKC)
        x_BKC = x_BKC + self.drop(self.attention(normed_BKC, normed_BKC, mask_BK))
        out: Tensor = x_BKC + self.feed_forward(self.norm_feed_forward(x_BKC))
        return out


class DiT(nn.Module):
    """The transformer alone: tokens in, what the action projector reads out."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.time_in = nn.Sequential(nn.Linear(TIME_WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(DiTBlock(config, cross=config.is_cross(index)) for index in range(config.depth))
        self.norm_out = AdaptiveNorm(width, eps=1e-6)
        self.out = nn.Linear(width, config.projector_width)

    def forward(self, tokens_BTD: Tensor, time: KeptTime, context: KeptContext) -> Tensor:
        """`(B, T, P)`."""
        kept = iter(zip(context.keys_LBNKH, context.values_LBNKH, context.masks_LBK, strict=True))
        for index, block in enumerate(self._blocks()):
            if self.config.is_cross(index):
                keys_BNKH, values_BNKH, mask_BK = next(kept)
                tokens_BTD = block(tokens_BTD, time.blocks_LBE[index], (keys_BNKH, values_BNKH), mask_BK)
            else:
                tokens_BTD = block(tokens_BTD, time.blocks_LBE[index], None, None)
        out: Tensor = self.out(self.norm_out.modulate(tokens_BTD, time.out_BE))
        return out

    def modulations(self, bucket_B: Tensor) -> KeptTime:
        """What a flow time, told by its bucket, does to every block."""
        waves = timestep_waves(bucket_B).to(self.out.weight.dtype)
        condition_BD = self.time_in(waves)
        blocks = tuple(block.norm_attention.modulation(condition_BD) for block in self._blocks())
        return KeptTime(blocks, self.norm_out.modulation(condition_BD))

    def keep(self, context_BKC: Tensor, exists_BK: Tensor, image_BK: Tensor) -> KeptContext:
        """Keys and values of features that exist, some of which are of images; unread masks are all False."""
        pairs, masks = [], []
        for index, block in enumerate(self._blocks()):
            if self.config.is_cross(index):
                pairs.append(block.attention.keys_values(context_BKC))
                masks.append(self._reading(index, exists_BK, image_BK))
        keys, values = (tuple(side) for side in zip(*pairs, strict=True))
        return KeptContext(keys, values, tuple(masks))

    def _reading(self, index: int, exists_BK: Tensor, image_BK: Tensor) -> Tensor:
        if self.config.reads == "everything":
            return exists_BK
        words = self.config.reads_words(index)
        read_BK = exists_BK & (~image_BK if words else image_BK)
        # A softmax over nothing is not a number: who finds no image to read, reads what there is.
        return torch.where(read_BK.any(dim=-1, keepdim=True), read_BK, exists_BK)

    def _blocks(self) -> list[DiTBlock]:
        return [cast(DiTBlock, block) for block in self.blocks]


def timestep_waves(bucket_B: Tensor) -> Tensor:
    """`(B, 256)`: cosines, then sines of a bucket at rates `10000^(-i / 127)`, in float32.

    In the original's order of operations (diffusers' `Timesteps`, flipped, downscale shift 1): see `bucket_waves`.
    """
    half = TIME_WAVES // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=bucket_B.device)
    angle = bucket_B.float()[:, None] * torch.exp(exponent / (half - 1))[None, :]
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def _drop_twice(dropout: float) -> nn.Dropout:
    """The originals drop twice behind the attention: the same as once, more often."""
    return nn.Dropout(1.0 - (1.0 - dropout) ** 2)
