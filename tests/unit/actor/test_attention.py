"""`attend`: the reference against closed forms, the other engines against the reference."""

import importlib.util

import pytest
import torch
from torch import Tensor

from dualsys.actor import attention
from dualsys.actor.attention import MASKED, AttentionBackend, additive, attend
from dualsys.errors import ConfigError, ExtraMissing

ENGINES: tuple[AttentionBackend, ...] = ("eager", "sdpa")
KEYS_ONLY = torch.tensor([[True, True, False, True, False], [False, True, True, True, True]])[:, None, None]
EACH_QUERY = torch.ones(3, 5, dtype=torch.bool).tril(1)[None, None]
EMPTY_ROW = EACH_QUERY & (torch.arange(3) != 1)[:, None]


def parts(heads: int = 4, kept_heads: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(2, heads, 3, 8, generator=draw),
        torch.randn(2, kept_heads, 5, 8, generator=draw),
        torch.randn(2, kept_heads, 5, 8, generator=draw),
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_scores_give_the_mean_of_what_may_be_read(engine: AttentionBackend) -> None:
    q, k, v = parts()
    out = attend(q, torch.zeros_like(k), v, KEYS_ONLY, engine)
    for row, readable in enumerate(KEYS_ONLY[:, 0, 0]):
        torch.testing.assert_close(out[row], v[row][:, readable].mean(dim=1, keepdim=True).expand(-1, 3, -1))


@pytest.mark.parametrize("engine", ENGINES)
def test_two_keys_are_weighed_by_the_logistic_of_their_scores_difference(engine: AttentionBackend) -> None:
    q, k, v = parts()
    out = attend(q, k[:, :, :2], v[:, :, :2], None, engine)
    difference = torch.einsum("bnth,bnh->bnt", q, k[:, :, 0] - k[:, :, 1]) / 8**0.5
    share = difference.sigmoid()[..., None]
    torch.testing.assert_close(out, share * v[:, :, :1] + (1 - share) * v[:, :, 1:2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mask", [None, KEYS_ONLY, EACH_QUERY, EMPTY_ROW], ids=["none", "keys", "queries", "empty row"])
@pytest.mark.parametrize("kept_heads", [1, 2, 4])
def test_sdpa_reads_what_eager_reads(mask: Tensor | None, kept_heads: int) -> None:
    q, k, v = parts(kept_heads=kept_heads)
    expected = attend(q, k, v, mask, "eager")
    assert expected.isfinite().all()
    torch.testing.assert_close(attend(q, k, v, mask, "sdpa"), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(attend(q, k, v, additive(mask), "sdpa"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_head_of_keys_serves_successive_heads_of_queries(engine: AttentionBackend) -> None:
    q, k, v = parts(kept_heads=2)
    repeated = attend(q, k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1), EACH_QUERY, engine)
    torch.testing.assert_close(attend(q, k, v, EACH_QUERY, engine), repeated, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_to_read_is_zero(engine: AttentionBackend) -> None:
    q, k, v = parts()
    assert attend(q, k[:, :, :0], v[:, :, :0], None, engine).count_nonzero() == 0
    # Where there are keys but none may be read, an additive mask weighs them alike.
    nothing = torch.zeros(1, 1, 1, 5, dtype=torch.bool)
    torch.testing.assert_close(attend(q, k, v, nothing, engine), v.mean(2, keepdim=True).expand(-1, -1, 3, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kept_heads", [1, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_query_that_may_read_nothing_gets_the_mean_in_any_precision(
    engine: AttentionBackend, kept_heads: int, dtype: torch.dtype
) -> None:
    q, k, v = (part.to(dtype) for part in parts(kept_heads=kept_heads))
    out = attend(q, 5 * k, v, EMPTY_ROW, engine).float()
    mean = v.float().mean(dim=2).repeat_interleave(4 // kept_heads, dim=1)
    torch.testing.assert_close(out[:, :, 1], mean, rtol=0, atol=1e-2 if dtype == torch.bfloat16 else 1e-3)


class Packed:
    """flash-attention's functions, of sequences one behind the other, as its documentation has them."""

    @staticmethod
    def flash_attn_varlen_func(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
    ) -> Tensor:
        assert max_seqlen_q == int(cu_seqlens_q.diff().max())
        assert max_seqlen_k == int(cu_seqlens_k.diff().max())
        pieces = []
        for index in range(len(cu_seqlens_q) - 1):
            asked = slice(*cu_seqlens_q[index : index + 2].tolist())
            read = slice(*cu_seqlens_k[index : index + 2].tolist())
            q1, k1, v1 = (part.transpose(0, 1)[None] for part in (q[asked], k[read], v[read]))
            pieces.append(attend(q1, k1, v1, None, "eager")[0].transpose(0, 1))
        return torch.cat(pieces)


@pytest.mark.parametrize("kept_heads", [1, 2, 4])
@pytest.mark.parametrize("as_numbers", [False, True])
def test_flash_packs_the_keys_that_may_be_read(
    kept_heads: int, as_numbers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine itself runs in `tests/gpu`."""
    monkeypatch.setattr(attention, "_flash_package", lambda: Packed)
    q, k, v = parts(kept_heads=kept_heads)
    nothing = KEYS_ONLY & torch.tensor([True, False])[:, None, None, None]
    for mask in (KEYS_ONLY, nothing, KEYS_ONLY[:1]):
        out = attend(q, k, v, additive(mask) if as_numbers else mask, "flash")
        torch.testing.assert_close(out, attend(q, k, v, mask, "eager"), rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="the same for each query"):
        attend(q, k, v, EACH_QUERY, "flash")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_may_not_be_read_has_no_influence(engine: AttentionBackend) -> None:
    q, k, v = parts()
    hidden = ~KEYS_ONLY[:, 0, 0][:, None, :, None]
    other = attend(q, k.masked_fill(hidden, 7.0), v.masked_fill(hidden, 1e6), KEYS_ONLY, engine)
    assert torch.equal(other, attend(q, k, v, KEYS_ONLY, engine))


def test_an_additive_mask_is_finite_and_made_once() -> None:
    made = additive(KEYS_ONLY)
    assert made is not None
    assert torch.equal(made, torch.where(KEYS_ONLY, 0.0, MASKED))
    assert additive(made) is made
    assert additive(None) is None


def test_half_precision_is_summed_in_single() -> None:
    q, k, v = (part.to(torch.bfloat16) for part in parts())
    exact = attend(q.float(), k.float(), v.float(), KEYS_ONLY, "eager")
    for engine in ENGINES:
        out = attend(q, k, v, KEYS_ONLY, engine)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), exact, rtol=0, atol=3e-2)


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash-attention is installed")
def test_flash_without_its_package_says_what_to_install() -> None:
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[flash\]'.*'sdpa'"):
        attend(*parts(), None, "flash")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="eager, sdpa or flash, not 'fast'"):
        attend(*parts(), None, "fast")  # type: ignore[arg-type]
