"""flash-attention gives what SDPA gives, on the masks that experts use."""

import pytest
import torch
from torch import Tensor

from dualsys.actor.attention import additive, attend
from tests.gpu.device import GPU, NEEDS_GPU

pytest.importorskip("flash_attn", reason="needs flash-attention")
pytestmark = NEEDS_GPU

BOUNDS = {torch.float16: 3e-3, torch.bfloat16: 2e-2}
"""Of values of a standard normal: a few of each type's last digits."""
HEADS = [(8, 1, 256), (4, 2, 64), (4, 4, 48)]
"""Of queries and keys, and their width: pi0's, SmolVLA's, GR00T's."""


def parts(heads: tuple[int, int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    count, kept, width = heads
    return tuple(  # type: ignore[return-value]
        torch.randn(3, number, length, width, generator=draw).to(GPU, dtype)
        for number, length in ((count, 17), (kept, 130), (kept, 130))
    )


def padded(*lengths: int) -> Tensor:
    """A prefix's `(B, 1, 1, S)`, padding behind it."""
    return (torch.arange(130) < torch.tensor(lengths)[:, None])[:, None, None].to(GPU)


def read(heads: tuple[int, int, int], dtype: torch.dtype, mask: Tensor | None) -> None:
    q, k, v = parts(heads, dtype)
    found = attend(q, k, v, mask, "flash")
    assert found.dtype == dtype
    exact = attend(q.float(), k.float(), v.float(), mask, "eager")
    for expected in (exact, attend(q, k, v, mask, "sdpa").float()):
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=BOUNDS[dtype])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("heads", HEADS, ids=str)
class TestFlash:
    """Each in both halves of a precision and with each way of sharing keys."""

    def test_everything(self, heads: tuple[int, int, int], dtype: torch.dtype) -> None:
        read(heads, dtype, None)

    def test_a_batch_of_padded_prefixes(self, heads: tuple[int, int, int], dtype: torch.dtype) -> None:
        mask = padded(130, 77, 1)
        read(heads, dtype, mask)
        read(heads, dtype, additive(mask))

    def test_padding_between_cameras_and_own_rows_behind(self, heads: tuple[int, int, int], dtype: torch.dtype) -> None:
        """A camera that isn't there, words, padding, then the rows' own keys."""
        index = torch.arange(130, device=GPU)
        mask = (index < 30) | ((index >= 60) & (index < 75)) | (index >= 113)
        read(heads, dtype, mask[None, None, None])

    def test_a_sample_without_a_subgoal(self, heads: tuple[int, int, int], dtype: torch.dtype) -> None:
        """It gets the mean, as on any engine; its neighbours are not moved."""
        read(heads, dtype, padded(130, 0, 5))
        read(heads, dtype, padded(0, 0, 0))
