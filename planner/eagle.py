"""Eagle: SigLIP's patches, through a connector, in the place of words in front of a Qwen3 that is cut short.

No class of transformers is an Eagle, so three are composed: the vision model, the language model, and a connector of
one or two layers that is our own. GR00T N1.5 reads the hidden state of layer `select_layer` of a decoder with just as
many layers, which transformers gives after the last norm.

Shape legend: B batch, I images of the whole batch, C channels, H height, W width, P patches, V vision width, S prompt
length, D decoder width.
"""

from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Qwen3Config,
    Qwen3Model,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from dualsys.planner.causal_mask import causal_mask
from dualsys.planner.feature_config import EagleConfig

_VISION: dict[str, tuple[Any, Any]] = {
    "siglip": (SiglipVisionConfig, SiglipVisionModel),
    "siglip2": (Siglip2VisionConfig, Siglip2VisionModel),
}


class Eagle(nn.Module):
    """Prompt and images to features `(B, S, D)`."""

    def __init__(self, config: EagleConfig, *, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self._flash = attention.startswith("flash")
        of_config, of_model = _VISION[config.vision_kind]
        vision = cast(Any, of_config)(**{"vision_use_head": False, **config.vision}, attn_implementation=attention)
        text = {**config.text, "num_hidden_layers": config.select_layer, "use_cache": False}
        text.pop("layer_types", None)
        language = cast(Any, Qwen3Config)(**text, attn_implementation=attention)
        model = cast(Any, of_model)(vision)
        # Older transformers wrap the vision model once more.
        self.vision: nn.Module = getattr(model, "vision_model", model)
        self.language: nn.Module = cast(Any, Qwen3Model)(language)
        self.connector = _connector(config, vision.hidden_size, language.hidden_size)
        self.project = None if config.project_to is None else nn.Linear(language.hidden_size, config.project_to)
        self.patch_size: int = vision.patch_size

    def forward(self, pixels_ICHW: Tensor, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Features after the last norm, those of padding too. Images stand in the order of their tokens.

        Raises:
            ValueError: where the images give another number of tokens than the prompt has places for.
        """
        words_BSD = cast(Any, self.language).get_input_embeddings()(input_ids_BS)
        seen_IPD = self.look(pixels_ICHW)
        places_BS = input_ids_BS == self.config.image_token_id
        if int(places_BS.sum()) != seen_IPD.shape[0] * seen_IPD.shape[1]:
            raise ValueError(
                f"the prompt has places for {int(places_BS.sum())} image tokens, the images give "
                f"{seen_IPD.shape[0]} times {seen_IPD.shape[1]}"
            )
        embeds_BSD = words_BSD.masked_scatter(places_BS[..., None], seen_IPD.to(words_BSD.dtype))
        mask = mask_BS if self._flash else causal_mask(mask_BS, embeds_BSD.dtype)
        hidden_BSD: Tensor = self.language(inputs_embeds=embeds_BSD, attention_mask=mask).last_hidden_state
        return hidden_BSD if self.project is None else cast(Tensor, self.project(hidden_BSD))

    def look(self, pixels_ICHW: Tensor) -> Tensor:
        """Image tokens `(I, P, D)`."""
        height, width = (side // self.patch_size for side in pixels_ICHW.shape[-2:])
        shown = (
            {"pixel_values": pixels_ICHW}
            if self.config.vision_kind == "siglip"
            else _packed(pixels_ICHW, height, width)
        )
        layer = self.config.vision_layer
        if layer == -1:
            patches_IPV = self.vision(**shown).last_hidden_state
        else:
            patches_IPV = self.vision(**shown, output_hidden_states=True).hidden_states[layer]
        joined_IPV = join_patches(patches_IPV, height, width, self.config)
        out: Tensor = self.connector(joined_IPV)
        return out

    def tokens_of(self, height: int, width: int) -> int:
        """How many tokens an image of this size becomes."""
        factor = 1 if self.config.downsample == "none" else self.config.downsample_factor
        return (height // self.patch_size // factor) * (width // self.patch_size // factor)

    def pixels(self, images_ICHW: Tensor) -> dict[str, Tensor]:
        """Arguments of `forward` from images in [-1, 1]."""
        return {"pixels_ICHW": images_ICHW}


def _packed(pixels_ICHW: Tensor, height: int, width: int) -> dict[str, Tensor]:
    """What SigLIP 2 takes: patches as rows, none of them padding, and how many there are each way."""
    patches_IPE = rearrange(pixels_ICHW, "i c (h p) (w q) -> i (h w) (p q c)", h=height, w=width)
    shapes_I2 = torch.tensor([[height, width]] * len(pixels_ICHW), device=pixels_ICHW.device)
    mask_IP = torch.ones(patches_IPE.shape[:2], dtype=torch.long, device=pixels_ICHW.device)
    return {"pixel_values": patches_IPE, "pixel_attention_mask": mask_IP, "spatial_shapes": shapes_I2}


def join_patches(patches_IPV: Tensor, height: int, width: int, config: EagleConfig) -> Tensor:
    """Patches with their neighbours' channels behind their own, as `downsample` says: Eagle 2.5 joins row by row and
    keeps each patch's channels together, Eagle 3 keeps each channel's patches together.
    """
    if config.downsample == "none":
        return patches_IPV
    f = config.downsample_factor
    if config.downsample == "shuffle":
        return rearrange(patches_IPV, "i (h y w x) v -> i (h w) (y x v)", h=height // f, y=f, x=f)
    grid_IVHW = rearrange(patches_IPV, "i (h w) v -> i v h w", h=height, w=width)
    return rearrange(F.pixel_unshuffle(grid_IVHW, f), "i v h w -> i (h w) v")


def _connector(config: EagleConfig, vision_width: int, width: int) -> nn.Sequential:
    joined = vision_width * (1 if config.downsample == "none" else config.downsample_factor**2)
    if config.connector_layers == 1:
        return nn.Sequential(nn.Linear(joined, width))
    return nn.Sequential(nn.LayerNorm(joined), nn.Linear(joined, width), nn.GELU(), nn.Linear(width, width))
