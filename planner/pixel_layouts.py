"""How families of vision-language models want a picture: from `(B, 3, H, W)`, normalised, to their arguments.

Our own, because their processors need a hub or torchvision; tests compare both where the processor can be built.

Shape legend: B batch, C channels, H height, W width, P patches of a picture, E values of a patch.
"""

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

Pixels = dict[str, Tensor]
"""Arguments of a model's `forward`."""


def whole(pixels_BCHW: Tensor, _config: Any) -> Pixels:
    """The picture as it is: PaliGemma, Gemma 3, InternVL, LLaVA."""
    return {"pixel_values": pixels_BCHW}


def sized(pixels_BCHW: Tensor, _config: Any) -> Pixels:
    """The picture, and how large it is: Pixtral's encoder in Mistral 3."""
    batch, _, height, width = pixels_BCHW.shape
    sizes = torch.tensor([[height, width]] * batch, device=pixels_BCHW.device)
    return {"pixel_values": pixels_BCHW, "image_sizes": sizes}


def tiled(pixels_BCHW: Tensor, _config: Any) -> Pixels:
    """A list of one tile, and which of its pixels count: Idefics 3, SmolVLM."""
    batch, _, height, width = pixels_BCHW.shape
    counted = torch.ones(batch, 1, height, width, dtype=torch.long, device=pixels_BCHW.device)
    return {"pixel_values": pixels_BCHW[:, None], "pixel_attention_mask": counted}


def merged_patches(pixels_BCHW: Tensor, config: Any) -> Pixels:
    """Patches in the order in which neighbours are merged, each a stack of equal frames: the Qwen-VLs."""
    vision = config.vision_config
    size, merge, frames = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    batch, _, height, width = pixels_BCHW.shape
    patches = rearrange(
        repeat(pixels_BCHW, "b c h w -> b t c h w", t=frames),
        "b t c (h y p) (w x q) -> (b h w y x) (c t p q)",
        y=merge,
        x=merge,
        p=size,
        q=size,
    )
    grid = torch.tensor([[1, height // size, width // size]] * batch, device=pixels_BCHW.device)
    return {"pixel_values": patches, "image_grid_thw": grid}


def placed_patches(pixels_BCHW: Tensor, config: Any) -> Pixels:
    """Patches in raster order and the column and row of each: Gemma 4."""
    patches_BPE = _raster(pixels_BCHW, config.vision_config.patch_size)
    batch, _, height, width = pixels_BCHW.shape
    rows, columns = height // config.vision_config.patch_size, width // config.vision_config.patch_size
    place_P2 = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), dim=-1).reshape(
        rows * columns, 2
    )
    return {
        "pixel_values": patches_BPE,
        "image_position_ids": place_P2.expand(batch, -1, -1).to(pixels_BCHW.device),
    }


def counted_patches(pixels_BCHW: Tensor, config: Any) -> Pixels:
    """Patches in raster order, which of them count, and how they lie: SigLIP 2's encoder in LFM2-VL."""
    size = config.vision_config.patch_size
    patches_BPE = _raster(pixels_BCHW, size)
    batch, _, height, width = pixels_BCHW.shape
    return {
        "pixel_values": patches_BPE,
        "pixel_attention_mask": torch.ones(patches_BPE.shape[:2], dtype=torch.long, device=pixels_BCHW.device),
        "spatial_shapes": torch.tensor([[height // size, width // size]] * batch, device=pixels_BCHW.device),
    }


def _raster(pixels_BCHW: Tensor, size: int) -> Tensor:
    return rearrange(pixels_BCHW, "b c (h p) (w q) -> b (h w) (p q c)", p=size, q=size)
