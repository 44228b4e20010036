"""`attend`: attention of action experts, one function with three engines.

    eager   the reference that peers are held to: float32 softmax over scores with an additive mask
    sdpa    torch's fused kernels: the default
    flash   flash-attention, on a GPU in half precision: an optional package; reads masks over keys alone

A query that may read nothing gets the mean of all values where there are keys (what an additive mask gives, and so the
peers), and zeros where there are none: no engine makes a NaN of it. The experts' own don't come to that, but those of a
cross-attending joint layer without a subgoal, whose values are zeros then.

Shape legend: B batch, N heads of queries, M heads of keys (N is a multiple of M), T queries, S keys, H head width.
"""

from typing import Any, Literal, TypeAlias, cast

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from dualsys.errors import ConfigError, ExtraMissing

AttentionBackend: TypeAlias = Literal["eager", "sdpa", "flash"]

MASKED = -2.3819763e38
"""Added to a score that must not be read (openpi's and Gemma's). Finite, so that a row of them is no NaN."""


def attend(
    q_BNTH: Tensor, k_BMSH: Tensor, v_BMSH: Tensor, mask: Tensor | None = None, backend: AttentionBackend = "sdpa"
) -> Tensor:
    """What queries read, `(B, N, T, H)`, scores scaled by the root of the head's width.

    Args:
        q_BNTH: Queries.
        k_BMSH: Keys; each of their heads serves `N / M` successive heads of queries.
        v_BMSH: Values.
        mask: True where a key may be read, broadcast to `(B, 1, T, S)`; or what `additive` makes of one, which serves
            several calls. None: everything is read.
        backend: The engine.

    Raises:
        ExtraMissing: `flash` without the package.
        ConfigError: `flash` with a mask that is not the same for each query.
    """
    if k_BMSH.shape[2] == 0:
        return torch.zeros_like(q_BNTH)
    match backend:
        case "eager":
            return _eager(q_BNTH, k_BMSH, v_BMSH, additive(mask))
        case "sdpa":
            mask = additive(mask)
            if mask is not None and q_BNTH.dtype == torch.float16:  # which has no number that outweighs any score
                q_BNTH = q_BNTH * (mask == 0.0).any(dim=-1, keepdim=True)
            if mask is not None:
                mask = mask.clamp(min=torch.finfo(q_BNTH.dtype).min).to(q_BNTH.dtype)
            if q_BNTH.shape[1] == k_BMSH.shape[1]:
                return F.scaled_dot_product_attention(q_BNTH, k_BMSH, v_BMSH, attn_mask=mask)
            if q_BNTH.device.type == "cpu":
                return _folded(q_BNTH, k_BMSH, v_BMSH, mask)
            return F.scaled_dot_product_attention(q_BNTH, k_BMSH, v_BMSH, attn_mask=mask, enable_gqa=True)
        case "flash":
            return _flash(q_BNTH, k_BMSH, v_BMSH, mask)
    raise ConfigError(f"attention is eager, sdpa or flash, not {backend!r}")


def additive(mask: Tensor | None) -> Tensor | None:
    """A mask as float32 numbers to add to scores: 0 where a key may be read. What is no mask of bools stays."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=torch.float32, device=mask.device).masked_fill_(~mask, MASKED)


def require_backend(backend: AttentionBackend) -> None:
    """Raise `ExtraMissing` where an engine's package is not there."""
    if backend == "flash":
        _flash_package()


def _folded(q_BNTH: Tensor, k_BMSH: Tensor, v_BMSH: Tensor, mask: Tensor | None) -> Tensor:
    """Heads that share keys as further queries of one head, which a processor reads keys once for."""
    heads, length = q_BNTH.shape[1:3]
    if mask is not None and mask.shape[-2] > 1:
        mask = mask.repeat(1, 1, heads // k_BMSH.shape[1], 1)
    q_BMGH = rearrange(q_BNTH, "b (m g) t h -> b m (g t) h", m=k_BMSH.shape[1])
    out_BMGH = F.scaled_dot_product_attention(q_BMGH, k_BMSH, v_BMSH, attn_mask=mask)
    return rearrange(out_BMGH, "b m (g t) h -> b (m g) t h", g=heads // k_BMSH.shape[1], t=length)


def _eager(q_BNTH: Tensor, k_BMSH: Tensor, v_BMSH: Tensor, mask: Tensor | None) -> Tensor:
    groups = q_BNTH.shape[1] // k_BMSH.shape[1]
    k_BNSH, v_BNSH = (side.repeat_interleave(groups, dim=1) for side in (k_BMSH, v_BMSH))
    score_BNTS = q_BNTH @ k_BNSH.transpose(-1, -2) * q_BNTH.shape[-1] ** -0.5
    if mask is not None:
        score_BNTS = score_BNTS.float() + mask
    share_BNTS = score_BNTS.softmax(dim=-1, dtype=torch.float32).to(v_BNSH.dtype)
    out: Tensor = share_BNTS @ v_BNSH
    return out


def _flash(q_BNTH: Tensor, k_BMSH: Tensor, v_BMSH: Tensor, mask: Tensor | None) -> Tensor:
    package = _flash_package()
    q_BTNH, k_BSMH, v_BSMH = (rearrange(part, "b n t h -> b t n h") for part in (q_BNTH, k_BMSH, v_BMSH))
    if mask is None:
        return rearrange(cast(Tensor, package.flash_attn_func(q_BTNH, k_BSMH, v_BSMH)), "b t n h -> b n t h")
    readable = mask if mask.dtype == torch.bool else mask == 0.0
    if readable.ndim != 4 or readable.shape[1] != 1 or readable.shape[2] != 1:
        raise ConfigError(
            f"flash attention reads masks that are the same for each query, (B, 1, 1, S); this one is "
            f"{tuple(mask.shape)}. Use attention 'sdpa'"
        )
    batch, length = q_BTNH.shape[:2]
    # Who may read nothing reads everything alike: scores of zeros.
    told_B111 = readable.any(dim=-1, keepdim=True)
    q_BTNH = q_BTNH * told_B111
    readable_BS = (readable | ~told_B111)[:, 0, 0].expand(batch, k_BSMH.shape[1])
    count_B = readable_BS.sum(dim=1, dtype=torch.int32)
    out = package.flash_attn_varlen_func(
        q_BTNH.flatten(0, 1),
        k_BSMH[readable_BS],
        v_BSMH[readable_BS],
        cu_seqlens_q=torch.arange(0, (batch + 1) * length, length, dtype=torch.int32, device=q_BTNH.device),
        cu_seqlens_k=F.pad(count_B.cumsum(0, dtype=torch.int32), (1, 0)),
        max_seqlen_q=length,
        max_seqlen_k=int(count_B.max()),
    )
    return rearrange(cast(Tensor, out), "(b t) n h -> b n t h", b=batch)


def _flash_package() -> Any:
    try:
        import flash_attn
    except ImportError as error:
        raise ExtraMissing(
            "attention 'flash' needs flash-attention; install it on a machine with a GPU and its compiler with: "
            "pip install 'dualsys[flash]'. Without it, use attention 'sdpa'"
        ) from error
    return flash_attn
