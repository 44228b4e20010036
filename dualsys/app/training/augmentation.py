"""What a camera and a lamp change of a picture, and no geometry."""

import torch
from torch import Tensor

from dualsys.app.training.share import Share


def augmented(pixels_BCHW: Tensor, strength: float, generator: torch.Generator, share: Share) -> Tensor:
    """Brightness, contrast, channel gains and pixel noise."""
    batch, *shape = share.whole(pixels_BCHW.shape[0]), *pixels_BCHW.shape[1:]

    def even(*more: int) -> Tensor:
        return share.of(torch.rand(batch, *more, generator=generator, device=generator.device)) * 2 - 1

    gain = 1.0 + strength * even(1, 1, 1)
    tint = 1.0 + 0.3 * strength * even(3, 1, 1)
    offset = strength * even(1, 1, 1)
    noise = 0.1 * strength * share.of(torch.randn(batch, *shape, generator=generator, device=generator.device))
    return (pixels_BCHW * gain * tint + offset + noise).clamp(-1.0, 1.0)
