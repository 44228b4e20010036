"""From a camera's picture to the square that a prefix's vision model sees, in [-1, 1].

Whole pictures keep their proportions and get black beside them: openpi's `resize_with_pad` on both sides, SmolVLA's
above and to the left. Bilinear, of floats, as LeRobot resizes.

Shape legend: H height, W width, C channels.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from dualsys.messages import ImageArray
from dualsys.planner.prefix_config import PrefixImages

BLACK = -1.0


def image_to_square(image_HWC: ImageArray, size: int, config: PrefixImages) -> Tensor:
    """`(C, size, size)` float32 in [-1, 1]."""
    pixels_1CHW = rearrange(torch.from_numpy(np.array(image_HWC)), "h w c -> 1 c h w").float() / 127.5 - 1.0
    height, width = image_HWC.shape[:2]
    if (height, width) == (size, size):
        return pixels_1CHW[0]
    shown = (size, size) if config.resize == "stretch" else _whole(height, width, size)
    resized = F.interpolate(pixels_1CHW, shown, mode="bilinear", antialias=config.antialias, align_corners=False)
    missing_h, missing_w = size - shown[0], size - shown[1]
    top, left = (missing_h, missing_w) if config.resize == "pad-before" else (missing_h // 2, missing_w // 2)
    padded = F.pad(resized.clamp(-1.0, 1.0), (left, missing_w - left, top, missing_h - top), value=BLACK)
    return padded[0]


def _whole(height: int, width: int, size: int) -> tuple[int, int]:
    """Size at which the longer side fits."""
    ratio = max(width, height) / size
    return int(height / ratio), int(width / ratio)
