"""Packed forms of a joint expert's layers: products of the same rows are one product, queries and keys turn together.

For tens of rows a product's call and each of its small neighbours cost as much as some of the multiplying.

Shape legend: B batch, T rows, D width, N heads of queries, M heads of keys, H head width.
"""

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from dualsys.actor.attention import attend
from dualsys.actor.joint_layers import GatedFeedForward, JointLayer, KeysValues, PrefixAttention, RMSNorm, Rotation
from dualsys.actor.packed_linear import PackedLinear

_GELU = math.sqrt(2.0 / math.pi)


class PackedRMSNorm(RMSNorm):
    """`RMSNorm` in few passes over the rows: torch makes eight of it on a processor."""

    def __init__(self, plain: RMSNorm, *, rows: int) -> None:
        nn.Module.__init__(self)
        self.eps, self.beside, self.weight = plain.eps, plain.beside, plain.weight
        self.to_modulation: Any = None
        self.eps_1 = torch.tensor([plain.eps])
        if plain.to_modulation is not None:
            self.to_modulation = PackedLinear.of(plain.to_modulation, rows=rows)

    def normed(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        """Tokens over their root mean square, scaled."""
        return self._over_rms(x_BTD).mul_(scale_D)

    def shifted(self, x_BTD: Tensor, scale_B1D: Tensor, shift_B1D: Tensor) -> Tensor:
        """Tokens over their root mean square, scaled and shifted."""
        return torch.addcmul(shift_B1D, self._over_rms(x_BTD), scale_B1D)

    def _over_rms(self, x_BTD: Tensor) -> Tensor:
        norm_BT1 = torch.linalg.vector_norm(x_BTD, dim=-1, keepdim=True)
        square_BT1 = torch.addcmul(self.eps_1, norm_BT1, norm_BT1, value=1.0 / x_BTD.shape[-1])
        return x_BTD * square_BT1.rsqrt_()


class PackedLayer(JointLayer):
    """`JointLayer`, whose gates take no pass of their own. Its parts are packed each in its own way."""

    def __init__(self, plain: JointLayer) -> None:
        nn.Module.__init__(self)
        for name, part in plain.named_children():
            setattr(self, name, part)

    def beside(self, x_BTD: Tensor, made: Tensor, gate_B1D: Tensor | None) -> Tensor:
        """The residual stream with what a part made of it."""
        return x_BTD + made if gate_B1D is None else torch.addcmul(x_BTD, made, gate_B1D)


class PackedFeedForward(GatedFeedForward):
    """`GatedFeedForward`, both of its sides in one product."""

    def __init__(self, plain: GatedFeedForward, *, rows: int) -> None:
        nn.Module.__init__(self)
        self.tanh = plain.tanh
        self.both = _joined([plain.gate, plain.up], rows=rows)
        self.down = PackedLinear.of(plain.down, rows=rows)
        self.slope_1 = torch.tensor([2.0 * _GELU])

    def sides(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """What gates, and what is gated."""
        gate, up = self.both(x_BTD).chunk(2, dim=-1)
        return gate, up

    def activated(self, gate: Tensor) -> Tensor:
        """GELU by tanh as `x * sigmoid(2 u)`, the same function at half the time."""
        if not self.tanh:
            return super().activated(gate)
        inside = torch.addcmul(self.slope_1, gate, gate, value=2.0 * _GELU * 0.044715)
        return inside.mul_(gate).sigmoid_().mul_(gate)


class PackedAttention(PrefixAttention):
    """`PrefixAttention` of rows that read themselves, too."""

    def __init__(self, plain: PrefixAttention, *, rows: int) -> None:
        nn.Module.__init__(self)
        self.joint = True
        self.heads, self.head_dim, self.backend = plain.heads, plain.head_dim, plain.backend
        self.to_qkv = _joined([plain.to_q, plain.to_k, plain.to_v], rows=rows)
        self.to_out = PackedLinear.of(plain.to_out, rows=rows)
        self._kept: KeysValues | None = None
        self._room: KeysValues | None = None

    def forward(
        self, x_BTD: Tensor, kept: KeysValues, rotation: Rotation, mask: Tensor | None
    ) -> tuple[Tensor, KeysValues | None]:
        """As the plain one. A single head of keys serves all queries as they lie, without turning rows and heads."""
        if self.heads > 1:
            return super().forward(x_BTD, kept, rotation, mask)
        all_BTGH = rearrange(self.to_qkv(x_BTD), "b t (g h) -> b t g h", h=self.head_dim)
        cos_BT1H, sin_BT1H = (each.transpose(1, 2) for each in rotation)
        q_BTNH, k_BT1H = (_turned(all_BTGH[:, :, which], cos_BT1H, sin_BT1H) for which in (slice(-2), slice(-2, -1)))
        own = KeysValues(k_BT1H.transpose(1, 2), all_BTGH[:, :, -1:].transpose(1, 2))
        read = self.beside(kept, own)
        if mask is not None and mask.shape[-2] > 1:
            mask = mask.repeat_interleave(q_BTNH.shape[2], dim=-2)
        out_B1QH = attend(rearrange(q_BTNH, "b t n h -> b 1 (t n) h"), *read, mask, self.backend)
        out: Tensor = self.to_out(rearrange(out_B1QH, "b 1 (t n) h -> b t (n h)", t=x_BTD.shape[1]))
        return out, own

    def project(self, x_BTD: Tensor, rotation: Rotation) -> tuple[Tensor, KeysValues | None]:
        """Queries, and the rows' keys and values."""
        all_BGTH = rearrange(self.to_qkv(x_BTD), "b t (g h) -> b g t h", h=self.head_dim)
        turned_BGTH = _turned(all_BGTH[:, : -self.heads], *rotation)
        q_BNTH, k_BMTH = turned_BGTH[:, : -self.heads], turned_BGTH[:, -self.heads :]
        return q_BNTH, KeysValues(k_BMTH, all_BGTH[:, -self.heads :])

    def beside(self, kept: KeysValues, own: KeysValues) -> KeysValues:
        """What is kept, and the rows' behind it: in the same place for each flow step of a chunk."""
        rows = own.keys.shape[2]
        room = self._room
        if room is None or not self._lies_in_front(kept) or room.keys.shape[2] != kept.keys.shape[2] + rows:
            self._kept, self._room = kept, super().beside(kept, own)
            return self._room
        for place, new in zip(room, own, strict=True):
            place[:, :, -rows:] = new
        return room

    def in_front(self, rows: int) -> KeysValues:
        """What was read last but for so many rows, where it lies: to be read again without a copy."""
        assert self._room is not None
        return KeysValues(self._room.keys[:, :, :-rows], self._room.values[:, :, :-rows])

    def _lies_in_front(self, kept: KeysValues) -> bool:
        return self._kept is kept or (self._room is not None and kept.keys.data_ptr() == self._room.keys.data_ptr())


def _turned(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """`Rotation.turn` in a pass less, which rounds once less, too."""
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([second, first], dim=-1), signed_sin)


def _joined(linears: list[nn.Linear], *, rows: int) -> PackedLinear:
    return PackedLinear(torch.cat([linear.weight for linear in linears]), None, rows=rows)
