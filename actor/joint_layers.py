"""Layers of the joint-attention expert: RMS norms, rotary positions, gated feed-forward, attention beside a prefix.

What the originals keep in float32 is computed there whatever the weights' dtype: norms, rotary angles, softmax.

Shape legend: B batch, T rows of tokens, S keys of a prefix, D width, N heads, M heads of keys, H head width.
"""

from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.attention import attend
from dualsys.actor.joint_config import JointExpertConfig


class Rotation(NamedTuple):
    """Of positions, `(B, 1, T, H)` each, float32."""

    cos: Tensor
    signed_sin: Tensor
    """Of the angles' sines, those of the first half of a head turned in sign."""

    @classmethod
    def of(cls, positions_BT: Tensor, head_dim: int, base: float) -> "Rotation":
        """Of positions; the two halves of a head turn as pairs (RoFormer, arXiv 2104.09864, in Llama's layout)."""
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions_BT.device) / head_dim
        angle_BTF = positions_BT.float()[..., None] / base**exponent
        cos_BTF, sin_BTF = angle_BTF.cos(), angle_BTF.sin()
        return cls(torch.cat([cos_BTF, cos_BTF], dim=-1)[:, None], torch.cat([-sin_BTF, sin_BTF], dim=-1)[:, None])

    def turn(self, x_BNTH: Tensor) -> Tensor:
        """Queries or keys at these positions."""
        first, second = x_BNTH.chunk(2, dim=-1)
        # Two products and their sum, each rounded, as the peers': fused (`addcmul`) it is as exact, but not theirs.
        turned = x_BNTH * self.cos + torch.cat([second, first], dim=-1) * self.signed_sin
        return turned.to(x_BNTH.dtype)


class KeysValues(NamedTuple):
    """Of a layer: `(B, M, S, H)` each."""

    keys: Tensor
    values: Tensor

    def followed_by(self, other: "KeysValues") -> "KeysValues":
        """With others behind, along the length."""
        return KeysValues(torch.cat([self.keys, other.keys], dim=2), torch.cat([self.values, other.values], dim=2))


class RMSNorm(nn.Module):
    """Root mean square norm with a weight, a weight beside 1, or scale, shift and gate of a condition."""

    def __init__(self, config: JointExpertConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight: nn.Parameter | None = None
        self.to_modulation: nn.Linear | None = None
        self.beside = 1.0 if config.norm == "rms-offset" else 0.0
        if config.norm == "adaptive-rms":
            self.to_modulation = nn.Linear(config.width, 3 * config.width)
            nn.init.zeros_(self.to_modulation.weight)
            nn.init.zeros_(self.to_modulation.bias)
        else:
            self.weight = nn.Parameter(torch.full((config.width,), 1.0 - self.beside))

    def forward(self, x_BTD: Tensor, modulation_BE: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Normalised tokens, and the gate `(B, 1, D)` of what follows, None where there is none."""
        if self.weight is not None:
            return self.normed(x_BTD.float(), self.scale).to(x_BTD.dtype), None
        if modulation_BE is None:
            raise ValueError("an adaptive norm needs its modulation")
        scale_B1D, shift_B1D, gate_B1D = modulation_BE[:, None].chunk(3, dim=-1)
        shifted = self.shifted(x_BTD.float(), 1.0 + scale_B1D.float(), shift_B1D.float())
        return shifted.to(x_BTD.dtype), gate_B1D.to(x_BTD.dtype)

    @property
    def scale(self) -> Tensor:
        """Of norms with a weight, `(D,)`."""
        assert self.weight is not None
        return self.weight.float() if self.beside == 0.0 else self.beside + self.weight.float()

    def normed(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        """Tokens over their root mean square, scaled."""
        return F.rms_norm(x_BTD, scale_D.shape, scale_D, self.eps)

    def shifted(self, x_BTD: Tensor, scale_B1D: Tensor, shift_B1D: Tensor) -> Tensor:
        """Tokens over their root mean square, scaled and shifted."""
        return F.rms_norm(x_BTD, x_BTD.shape[-1:], eps=self.eps) * scale_B1D + shift_B1D


class GatedFeedForward(nn.Module):
    """`down(activation(gate x) * up x)`."""

    def __init__(self, config: JointExpertConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.feed_forward_width, bias=False)
        self.up = nn.Linear(config.width, config.feed_forward_width, bias=False)
        self.down: Any = nn.Linear(config.feed_forward_width, config.width, bias=False)
        self.tanh = config.activation == "gelu-tanh"

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`(B, T, D)`."""
        gate, up = self.sides(x_BTD)
        out: Tensor = self.down(self.activated(gate) * up)
        return out

    def sides(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """What gates, and what is gated."""
        return self.gate(x_BTD), self.up(x_BTD)

    def activated(self, gate: Tensor) -> Tensor:
        """The activation."""
        return F.gelu(gate, approximate="tanh") if self.tanh else F.silu(gate)


class PrefixAttention(nn.Module):
    """Rows that attend to a prefix and to themselves, or to projections of a prefix alone."""

    def __init__(self, config: JointExpertConfig, *, joint: bool) -> None:
        super().__init__()
        kept_width = config.prefix.heads * config.prefix.head_dim
        source = config.width if joint else kept_width
        self.joint = joint
        self.heads = config.prefix.heads
        self.head_dim = config.prefix.head_dim
        self.backend = config.attention
        self.to_q = nn.Linear(config.width, config.num_heads * config.prefix.head_dim, bias=False)
        self.to_k = nn.Linear(source, kept_width, bias=False)
        self.to_v = nn.Linear(source, kept_width, bias=False)
        self.to_out: Any = nn.Linear(config.num_heads * config.prefix.head_dim, config.width, bias=False)

    def remember(self, prefix: KeysValues, mask_BS: Tensor | None) -> KeysValues:
        """Of a prefix, what rows will read: itself, or its projections, the same for every row and flow step."""
        if self.joint:
            return prefix
        k_BSE, v_BSE = (rearrange(side, "b m s h -> b s (m h)") for side in prefix)
        projected = KeysValues(self._split(self.to_k(k_BSE)), self._split(self.to_v(v_BSE)))
        if mask_BS is None:
            return projected
        # Where nothing may be read, attention gives the mean of all values: zeros make nothing of it.
        return projected._replace(values=projected.values.masked_fill(~mask_BS[:, None, :, None], 0.0))

    def forward(
        self, x_BTD: Tensor, kept: KeysValues, rotation: Rotation, mask: Tensor | None
    ) -> tuple[Tensor, KeysValues | None]:
        """What the rows read `(B, T, D)`, and their own keys and values, if others may read those."""
        q_BNTH, own = self.project(x_BTD, rotation)
        read = kept if own is None else self.beside(kept, own)
        out_BNTH = attend(q_BNTH, read.keys, read.values, mask, self.backend)
        out: Tensor = self.to_out(rearrange(out_BNTH, "b n t h -> b t (n h)"))
        return out, own

    def project(self, x_BTD: Tensor, rotation: Rotation) -> tuple[Tensor, KeysValues | None]:
        """Queries, and where rows read themselves, too, their keys and values."""
        q_BNTH = rotation.turn(rearrange(self.to_q(x_BTD), "b t (n h) -> b n t h", h=self.head_dim))
        if not self.joint:
            return q_BNTH, None
        return q_BNTH, KeysValues(rotation.turn(self._split(self.to_k(x_BTD))), self._split(self.to_v(x_BTD)))

    def beside(self, kept: KeysValues, own: KeysValues) -> KeysValues:
        """What is kept, and the rows' behind it."""
        return kept.followed_by(own)

    def _split(self, x_BSE: Tensor) -> Tensor:
        return rearrange(x_BSE, "b s (m h) -> b m s h", m=self.heads)


class JointLayer(nn.Module):
    """Norm, attention, norm, feed-forward; both results gated where the norms are adaptive."""

    def __init__(self, config: JointExpertConfig, *, joint: bool) -> None:
        super().__init__()
        self.norm_attention = RMSNorm(config)
        self.attention = PrefixAttention(config, joint=joint)
        self.norm_feed_forward = RMSNorm(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(
        self,
        x_BTD: Tensor,
        kept: KeysValues,
        rotation: Rotation,
        mask: Tensor | None,
        modulation: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, KeysValues | None]:
        """Tokens behind the layer, and their keys and values in it, None where nothing may read those."""
        normed, gate = self.norm_attention(x_BTD, modulation[0])
        read, own = self.attention(normed, kept, rotation, mask)
        x_BTD = self.beside(x_BTD, read, gate)
        normed, gate = self.norm_feed_forward(x_BTD, modulation[1])
        made = self.feed_forward(normed)
        return self.beside(x_BTD, made, gate), own

    def beside(self, x_BTD: Tensor, made: Tensor, gate_B1D: Tensor | None) -> Tensor:
        """The residual stream with what a part made of it."""
        return x_BTD + (made if gate_B1D is None else made * gate_B1D)
