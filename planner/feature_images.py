"""From a camera's picture to what a vision model is shown, in [-1, 1], as GR00T does it.

N1.5 cuts out the middle and resizes it; N1.7 resizes, cuts out the middle, and resizes again, each time to whole
numbers, where it is told to from a square that black bars make. Both divide by 127.5 and subtract 1. What is shown is
a square, or N1.7's picture in its own form.

Shape legend: H height, W width, C channels, I images.
"""

from functools import lru_cache

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dualsys.messages import ImageArray
from dualsys.planner.feature_config import ImagesConfig


def shown_image(image_HWC: ImageArray, config: ImagesConfig) -> Tensor:
    """`(C, *config.shown)` float32 in [-1, 1]."""
    if config.letterbox:
        image_HWC = _squared(image_HWC)
    if config.resize_first:
        image_HWC = _resized(image_HWC, _aim(image_HWC.shape[:2], config), config)
    if config.crop < 1.0:
        image_HWC = _middle(image_HWC, config.crop)
    image_HWC = _resized(image_HWC, _aim(image_HWC.shape[:2], config), config)
    if image_HWC.shape[:2] != config.shown:
        image_HWC = _bicubic(image_HWC, config.shown)
    return rearrange(torch.from_numpy(image_HWC.copy()), "h w c -> c h w").float() / 127.5 - 1.0


def kept_shape(height: int, width: int, config: ImagesConfig, *, step: int) -> tuple[int, int]:
    """Height and width of what is shown of a picture that keeps its form: whole steps, as Qwen's processor makes."""
    first = _shortest((height, width), config.size) if config.resize_first else (height, width)
    shape = _shortest(_cut(first, config.crop), config.size)
    tall, wide = (max(step, round(side / step) * step) for side in shape)
    return tall, wide


def _aim(shape: tuple[int, ...], config: ImagesConfig) -> tuple[int, int]:
    return (config.size, config.size) if config.shape is None else _shortest(shape, config.size)


def _shortest(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Of the same form, the shortest side so long."""
    scale = size / min(shape)
    return round(shape[0] * scale), round(shape[1] * scale)


def _cut(shape: tuple[int, ...], share: float) -> tuple[int, int]:
    return int(shape[0] * share), int(shape[1] * share)


def _squared(image_HWC: ImageArray) -> ImageArray:
    """With black bars before and behind; the odd line is behind."""
    before = [(max(image_HWC.shape[:2]) - side) // 2 for side in image_HWC.shape[:2]]
    behind = [max(image_HWC.shape[:2]) - side - first for side, first in zip(image_HWC.shape[:2], before, strict=True)]
    return np.pad(image_HWC, ((before[0], behind[0]), (before[1], behind[1]), (0, 0)))


def _middle(image_HWC: ImageArray, share: float) -> ImageArray:
    height, width = _cut(image_HWC.shape[:2], share)
    top, left = (image_HWC.shape[0] - height) // 2, (image_HWC.shape[1] - width) // 2
    return image_HWC[top : top + height, left : left + width]


def _resized(image_HWC: ImageArray, shape: tuple[int, int], config: ImagesConfig) -> ImageArray:
    before = image_HWC.shape[:2]
    if before == shape:
        return image_HWC
    if config.resample == "bilinear":
        image_1CHW = rearrange(torch.from_numpy(image_HWC.copy()), "h w c -> 1 c h w").float()
        resized = F.interpolate(image_1CHW, shape, mode="bilinear", antialias=True, align_corners=False)
        smooth = rearrange(resized[0], "c h w -> h w c").numpy()
    else:
        blends = before[0] < shape[0] or before[1] < shape[1]
        rows, columns = (area_weights(*sides, blends=blends) for sides in zip(before, shape, strict=True))
        smooth = np.einsum("oh,hwc,pw->opc", rows, image_HWC.astype(np.float32), columns, optimize=True)
    whole: ImageArray = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    return whole


def _bicubic(image_HWC: ImageArray, shape: tuple[int, int]) -> ImageArray:
    """As torchvision resizes whole numbers."""
    image_1CHW = rearrange(torch.from_numpy(image_HWC.copy()), "h w c -> 1 c h w").contiguous()
    resized = F.interpolate(image_1CHW, shape, mode="bicubic", antialias=True, align_corners=False)
    whole: ImageArray = rearrange(resized[0], "c h w -> h w c").numpy()
    return whole


@lru_cache(maxsize=64)
def area_weights(before: int, after: int, *, blends: bool) -> NDArray[np.float32]:
    """Weights `(after, before)` of a resize along one side by the mean over the area, as OpenCV's `INTER_AREA`.

    Each new pixel is the mean of what it covers, borders by their share. With `blends`, which OpenCV does to both sides
    where one of them grows: it is that of the old pixel it begins in, blended into the next by how much lies there.
    """
    weights = np.zeros((after, before))
    scale = before / after
    for new in range(after):
        if not blends:
            start, end = new * scale, min((new + 1) * scale, before)
            for old in range(int(start), min(int(np.ceil(end)), before)):
                weights[new, old] = max(min(end, old + 1) - max(start, old), 0.0)
            weights[new] /= weights[new].sum()
        else:
            old = int(new * scale)
            share = max((new + 1) - (old + 1) / scale, 0.0)
            share -= np.floor(share)
            weights[new, old] += 1.0 - share
            weights[new, min(old + 1, before - 1)] += share
    out: NDArray[np.float32] = weights.astype(np.float32)
    return out
