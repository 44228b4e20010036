"""From hidden states of any length to a fixed `k x d` latent: learned queries that cross-attend (Perceiver, Q-Former).

Shape legend: B batch, S hidden states, D their width, K queries, C their width.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.planner.config import ReadoutConfig


class ReadoutBlock(nn.Module):
    """Queries attend to the hidden states, then think for themselves."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), nn.Linear(4 * dim, dim)
        )

    def forward(self, query_BKC: Tensor, context_BSC: Tensor, mask_BS: Tensor) -> Tensor:
        """`(B, K, C)`."""
        q_BNKH = rearrange(self.to_q(self.norm_attention(query_BKC)), "b k (n h) -> b n k h", n=self.num_heads)
        kv = rearrange(self.to_kv(context_BSC), "b s (two n h) -> two b n s h", two=2, n=self.num_heads)
        out_BNKH = F.scaled_dot_product_attention(q_BNKH, kv[0], kv[1], attn_mask=mask_BS[:, None, None, :])
        query_BKC = query_BKC + self.to_out(rearrange(out_BNKH, "b n k h -> b k (n h)"))
        out: Tensor = query_BKC + self.feed_forward(query_BKC)
        return out


class SubgoalReadout(nn.Module):
    """Hidden states `(B, S, D)` to subgoal tokens `(B, K, C)`, normalised: every planner speaks at one volume."""

    def __init__(self, config: ReadoutConfig, hidden_width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.num_tokens, config.dim) * 0.5)
        self.context_in = nn.Sequential(nn.LayerNorm(hidden_width), nn.Linear(hidden_width, config.dim))
        self.blocks = nn.ModuleList(ReadoutBlock(config.dim, config.num_heads) for _ in range(config.depth))
        self.norm_out = nn.LayerNorm(config.dim)

    def forward(self, hidden_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Subgoal tokens `(B, K, C)`; `mask` is 0 where a hidden state is padding."""
        context_BSC = self.context_in(hidden_BSD)
        tokens_BKC = repeat(self.queries, "k c -> b k c", b=hidden_BSD.shape[0])
        for block in self.blocks:
            tokens_BKC = block(tokens_BKC, context_BSC, mask_BS.bool())
        out: Tensor = self.norm_out(tokens_BKC)
        return out
