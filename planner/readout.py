"""From hidden states of any length to a fixed `k x d` latent: learned queries that read the words, then the picture.

Cross-attending learned queries are the Perceiver's and the Q-Former's way. Here each block attends twice: to the
hidden states of the text, then, with what those said, to the states of the image. "The red one" is then looked up in
one hop, where a single attention over a hundred image tokens and ten words takes thousands of steps to find the words.

Shape legend: B batch, S hidden states, D their width, K queries, W the readout's width, C the subgoal's.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.planner.config import ReadoutConfig


class CrossAttention(nn.Module):
    """Queries over hidden states; both normalised first."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)
        for layer in (self.to_q, self.to_kv, self.to_out):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, query_BKW: Tensor, context_BSW: Tensor, mask_BS: Tensor) -> Tensor:
        """`(B, K, W)`; `mask` is False where a hidden state must not be read."""
        q_BNKH = rearrange(self.to_q(self.norm(query_BKW)), "b k (n h) -> b n k h", n=self.num_heads)
        k_BNSH, v_BNSH = rearrange(self.to_kv(context_BSW), "b s (two n h) -> two b n s h", two=2, n=self.num_heads)
        out_BNKH = F.scaled_dot_product_attention(q_BNKH, k_BNSH, v_BNSH, attn_mask=mask_BS[:, None, None, :])
        out: Tensor = self.to_out(rearrange(out_BNKH, "b n k h -> b k (n h)"))
        return out


class ReadoutBlock(nn.Module):
    """Words, picture, thought."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.words = CrossAttention(width, num_heads)
        self.picture = CrossAttention(width, num_heads)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, query_BKW: Tensor, context_BSW: Tensor, is_text_BS: Tensor, is_image_BS: Tensor) -> Tensor:
        """`(B, K, W)`."""
        query_BKW = query_BKW + self.words(query_BKW, context_BSW, is_text_BS)
        query_BKW = query_BKW + self.picture(query_BKW, context_BSW, is_image_BS)
        out: Tensor = query_BKW + self.feed_forward(query_BKW)
        return out


class SubgoalReadout(nn.Module):
    """Hidden states `(B, S, D)` to subgoal tokens `(B, K, C)`, normalised: every planner speaks at one volume."""

    def __init__(
        self, config: ReadoutConfig, *, hidden_width: int, num_image_tokens: int, goal_image: bool = False
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.num_tokens, config.width) * 0.5)
        self.context_in = nn.Sequential(nn.LayerNorm(hidden_width), nn.Linear(hidden_width, config.width))
        # The backbone knows where a patch is, but says it faintly after many layers; a subgoal is mostly a place.
        self.image_position = nn.Parameter(grid_embedding(num_image_tokens, config.width))
        # Tells the goal's picture from the present one.
        self.goal_mark = nn.Parameter(torch.randn(config.width) * 0.02) if goal_image else None
        self.blocks = nn.ModuleList(ReadoutBlock(config.width, config.num_heads) for _ in range(config.depth))
        self.out = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.dim))
        self.norm_out = nn.LayerNorm(config.dim)

    def forward(self, hidden_BSD: Tensor, mask_BS: Tensor, is_image_BS: Tensor) -> Tensor:
        """Subgoal tokens `(B, K, C)`; `mask` is 0 where a hidden state is padding."""
        context_BSW = self.context_in(hidden_BSD)
        # Image tokens come in raster order, the same number in every row of the batch.
        position_NW = repeat(self._places(), "p w -> (b p) w", b=hidden_BSD.shape[0])
        # Under autocast the context is narrower than the parameters, and a sum of both is as wide as these.
        placed_NW = (context_BSW[is_image_BS] + position_NW).to(context_BSW.dtype)
        context_BSW = context_BSW.masked_scatter(is_image_BS[..., None], placed_NW)
        tokens_BKW = repeat(self.queries, "k w -> b k w", b=hidden_BSD.shape[0])
        counts_BS = mask_BS.bool()
        for block in self.blocks:
            tokens_BKW = block(tokens_BKW, context_BSW, counts_BS & ~is_image_BS, counts_BS & is_image_BS)
        out: Tensor = self.norm_out(self.out(tokens_BKW))
        return out

    def _places(self) -> Tensor:
        """Of each image token of a prompt."""
        if self.goal_mark is None:
            return self.image_position
        return torch.cat([self.image_position, self.image_position + self.goal_mark])


def grid_embedding(num_tokens: int, width: int) -> Tensor:
    """Sines and cosines of the column and the row of each cell of a square grid, `(num_tokens, width)`.

    Raises:
        ValueError: the tokens form no square grid, or the width is no multiple of 4.
    """
    side = round(num_tokens**0.5)
    if side * side != num_tokens or width % 4:
        raise ValueError(f"{num_tokens} image tokens of width {width} form no square grid of sines and cosines")
    frequency_F = 2.0 ** torch.linspace(-1.0, 3.0, width // 4)
    angle_SF = torch.linspace(-1.0, 1.0, side)[:, None] * frequency_F
    wave_SG = torch.cat([angle_SF.sin(), angle_SF.cos()], dim=-1)
    rows, columns = repeat(wave_SG, "r g -> (r c) g", c=side), repeat(wave_SG, "c g -> (r c) g", r=side)
    return torch.cat([rows, columns], dim=-1)
