"""Packed forms of a joint expert's layers: products of the same rows are one product, queries and keys turn together.

For tens of rows a product's call and each of its small neighbours cost as much as some of the multiplying.

Shape legend: B batch, T rows, D width, N heads of queries, M heads of keys, H head width.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from dualsys.actor.joint_layers import GatedFeedForward, KeysValues, PrefixAttention, Rotation
from dualsys.actor.packed_linear import PackedLinear


class PackedFeedForward(GatedFeedForward):
    """`GatedFeedForward`, both of its sides in one product."""

    def __init__(self, plain: GatedFeedForward, *, rows: int) -> None:
        nn.Module.__init__(self)
        self.tanh = plain.tanh
        self.both = _joined([plain.gate, plain.up], rows=rows)
        self.down = PackedLinear.of(plain.down, rows=rows)

    def sides(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """What gates, and what is gated."""
        gate, up = self.both(x_BTD).chunk(2, dim=-1)
        return gate, up


class PackedAttention(PrefixAttention):
    """`PrefixAttention` of rows that read themselves, too."""

    def __init__(self, plain: PrefixAttention, *, rows: int) -> None:
        nn.Module.__init__(self)
        self.joint = True
        self.heads, self.head_dim, self.backend = plain.heads, plain.head_dim, plain.backend
        self.to_qkv = _joined([plain.to_q, plain.to_k, plain.to_v], rows=rows)
        self.to_out = PackedLinear.of(plain.to_out, rows=rows)

    def project(self, x_BTD: Tensor, rotation: Rotation) -> tuple[Tensor, KeysValues | None]:
        """Queries, and the rows' keys and values."""
        all_BGTH = rearrange(self.to_qkv(x_BTD), "b t (g h) -> b g t h", h=self.head_dim)
        turned_BGTH = rotation.turn(all_BGTH[:, : -self.heads])
        q_BNTH, k_BMTH = turned_BGTH[:, : -self.heads], turned_BGTH[:, -self.heads :]
        return q_BNTH, KeysValues(k_BMTH, all_BGTH[:, -self.heads :])


def _joined(linears: list[nn.Linear], *, rows: int) -> PackedLinear:
    return PackedLinear(torch.cat([linear.weight for linear in linears]), None, rows=rows)
