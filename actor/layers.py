"""Blocks of the action expert: sinusoidal embedding, attention, adaptive-norm transformer block.

Shape legend: B batch, T query tokens, S context tokens, D width, N heads, H head width.
"""

import math
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.attention import AttentionBackend, attend


def sinusoidal_embedding(value_B: Tensor, dim: int, *, min_period: float, max_period: float) -> Tensor:
    """`(B, dim)`: sine and cosine of a scalar at geometrically spaced periods (pi0's time embedding).

    Computed in float64 as pi0 does, because the shortest period is 4e-3, then cast back.
    """
    rates = embedding_rates(dim, min_period=min_period, max_period=max_period, device=value_B.device)
    angle = value_B.double()[:, None] * rates[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(value_B.dtype)


def embedding_rates(dim: int, *, min_period: float, max_period: float, device: torch.device | None = None) -> Tensor:
    """Angular rates `(dim / 2)` of `sinusoidal_embedding`, float64."""
    fraction = torch.linspace(0.0, 1.0, dim // 2, dtype=torch.float64, device=device)
    period = min_period * (max_period / min_period) ** fraction
    return 2.0 * math.pi / period


class Attention(nn.Module):
    """Multi-head attention over a context that may be the queries themselves.

    What comes is read in the weights' precision, which `original_precision` makes a narrower one.

    Args:
        width: Of the queries, and of what is given.
        context_width: Of what is attended to.
        num_heads: Heads.
        backend: Engine of `dualsys.actor.attention`; None: torch's SDPA with the mask as it is.
    """

    def __init__(
        self, width: int, context_width: int, num_heads: int, *, backend: AttentionBackend | None = None
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.backend = backend
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(context_width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, context_BSC: Tensor, mask_BS: Tensor | None = None) -> Tensor:
        """`(B, T, D)`; `mask` is False where a context token must not be read."""
        return self.attend(x_BTD, *self.keys_values(context_BSC), mask_BS)

    def keys_values(self, context_BSC: Tensor) -> tuple[Tensor, Tensor]:
        """What `attend` reads of a context, `(B, N, S, H)` each: the same for every query, so it can be kept."""
        k_BNSH, v_BNSH = rearrange(
            self.to_kv(context_BSC.to(self.to_kv.weight.dtype)), "b s (two n h) -> two b n s h", two=2, n=self.num_heads
        )
        return k_BNSH, v_BNSH

    def attend(self, x_BTD: Tensor, k_BNSH: Tensor, v_BNSH: Tensor, mask_BS: Tensor | None = None) -> Tensor:
        """`(B, T, D)` from keys and values."""
        q_BNTH = rearrange(self.to_q(x_BTD.to(self.to_q.weight.dtype)), "b t (n h) -> b n t h", n=self.num_heads)
        mask = None if mask_BS is None else mask_BS[:, None, None, :]
        if self.backend is None:
            out_BNTH = F.scaled_dot_product_attention(q_BNTH, k_BNSH, v_BNSH, attn_mask=mask)
        else:
            out_BNTH = attend(q_BNTH, k_BNSH, v_BNSH, mask, self.backend)
        out: Tensor = self.to_out(rearrange(out_BNTH, "b n t h -> b t (n h)"))
        return out


class AdaptiveNorm(nn.Module):
    """LayerNorm whose scale and shift come from a condition (DiT, arXiv 2212.09748, section 3.2)."""

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=eps)
        self.to_scale_shift = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.to_scale_shift.weight)
        nn.init.zeros_(self.to_scale_shift.bias)

    def forward(self, x_BTD: Tensor, condition_BD: Tensor) -> Tensor:
        """`(B, T, D)`, normalised, scaled and shifted."""
        return self.modulate(x_BTD, self.modulation(condition_BD))

    def modulation(self, condition_BD: Tensor) -> Tensor:
        """Scale, then shift, `(B, 2 D)`: the same for every token, so it can be kept."""
        out: Tensor = self.to_scale_shift(F.silu(condition_BD))
        return out

    def modulate(self, x_BTD: Tensor, modulation_BE: Tensor) -> Tensor:
        """`(B, T, D)`, equal to `forward`, from a modulation that was made before."""
        scale_BD, shift_BD = modulation_BE.chunk(2, dim=-1)
        out: Tensor = self.norm(x_BTD) * (1.0 + scale_BD[:, None]) + shift_BD[:, None]
        return out


class Block(nn.Module):
    """Adaptive-norm attention and feed-forward: over a context if it has one, else over itself (GR00T alternates)."""

    def __init__(self, width: int, num_heads: int, *, context_width: int | None) -> None:
        super().__init__()
        self.cross = context_width is not None
        self.norm_attention = AdaptiveNorm(width)
        self.attention = Attention(width, context_width or width, num_heads)
        self.norm_feed_forward = AdaptiveNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTD: Tensor, condition_BD: Tensor, context_BSC: Tensor, mask_BS: Tensor) -> Tensor:
        """`(B, T, D)`; a block without cross-attention leaves the context unread."""
        kept = self.attention.keys_values(context_BSC) if self.cross else None
        return self.advance(x_BTD, condition_BD, kept, mask_BS)

    def advance(
        self, x_BTD: Tensor, condition_BD: Tensor, kept: tuple[Tensor, Tensor] | None, mask_BS: Tensor
    ) -> Tensor:
        """`(B, T, D)`, given the keys and values of the context, None for a block without cross-attention."""
        normed_BTD = self.norm_attention(x_BTD, condition_BD)
        if kept is None:
            x_BTD = x_BTD + self.attention(normed_BTD, normed_BTD)
        else:
            x_BTD = x_BTD + self.attention.attend(normed_BTD, *kept, mask_BS)
        inside = cast(nn.Linear, self.feed_forward[0]).weight.dtype
        out: Tensor = x_BTD + self.feed_forward(self.norm_feed_forward(x_BTD, condition_BD).to(inside))
        return out
