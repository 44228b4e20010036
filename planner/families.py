"""Families of vision-language models: what each wants to be told beside words, by Hugging Face's model type.

A family is data: its picture's marks in the prompt, how it scales and cuts pixels, which tokens it wants told apart.
All else is shared (`backbone.py`), and runs in transformers' own class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from dualsys.errors import ConfigError, unknown_name
from dualsys.planner import pixel_layouts
from dualsys.planner.pixel_layouts import Pixels

Scale: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each channel, of pixels in [0, 1]."""
HALF: Scale = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""SigLIP's mean and deviation."""
CLIP: Scale = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""OpenAI's CLIP's."""
IMAGENET: Scale = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNIT: Scale = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Pixels in [0, 1], which the model scales itself."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A token around a picture."""

    token: str
    """In the family's published tokenizers."""
    field: str = ""
    """Of the model's configuration, which then knows its number."""


def _no_kinds(_is_image_BS: Tensor) -> Pixels:
    return {}


def _one_block(is_image_BS: Tensor) -> Pixels:
    # Zeros mark the whole prompt as prefix. Left out, transformers attends causally under some backends.
    return {"token_type_ids": torch.zeros_like(is_image_BS, dtype=torch.long)}


def _token_types(is_image_BS: Tensor) -> Pixels:
    return {"token_type_ids": is_image_BS.long()}


def _modalities(is_image_BS: Tensor) -> Pixels:
    return {"mm_token_type_ids": is_image_BS.int()}


def _by(*fields: str) -> Callable[[Any], int]:
    """Pixels that a token is wide: the product of some fields of the vision encoder's configuration."""

    def stride(config: Any) -> int:
        product = 1
        for field in fields:
            product *= int(getattr(config.vision_config, field))
        return product

    return stride


def _always(scale: Scale) -> Callable[[Any], Scale]:
    return lambda _config: scale


_half = _always(HALF)

_LLAVA_ENCODERS: Mapping[str, tuple[Scale, str]] = {
    "clip_vision_model": (CLIP, "default"),
    "siglip_vision_model": (HALF, "full"),
}
"""Scale of pixels, and which of its tokens are the picture's patches: CLIP's first is of the whole picture."""


def _llava_scale(config: Any) -> Scale:
    kind, chosen = config.vision_config.model_type, config.vision_feature_select_strategy
    if kind not in _LLAVA_ENCODERS:
        raise ConfigError(
            f"a LLaVA whose vision encoder is {kind!r} is not supported: how it wants pictures is known for "
            f"{', '.join(_LLAVA_ENCODERS)} only; Pixtral's is known in `mistral3`"
        )
    scale, patches = _LLAVA_ENCODERS[kind]
    if chosen != patches:
        raise ConfigError(
            f"a LLaVA over {kind!r} with vision_feature_select_strategy {chosen!r} is not supported: its tokens aren't "
            f"the patches of the picture, as with {patches!r}"
        )
    return scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is a family's own."""

    stride: Callable[[Any], int]
    """Pixels that an image token is wide and high, by the model's configuration."""
    pixels: Callable[[Tensor, Any], Pixels] = pixel_layouts.whole
    """From normalised pixels to the arguments of `forward`."""
    scale: Callable[[Any], Scale] = _half
    """How pixels are normalised, by the model's configuration. Raises `ConfigError` for a model that nobody knows."""
    kinds: Callable[[Tensor], Pixels] = _no_kinds
    """Arguments that tell tokens apart, from where tokens of the picture are."""
    before: tuple[Mark, ...] = ()
    row_break: Mark | None = None
    """Behind each row of image tokens but the last."""
    behind: tuple[Mark, ...] = ()
    begins_behind_image: bool = False
    """Whether the token of the beginning stands behind the picture, not before it."""
    takes_any_size: bool = False
    """Whether the encoder takes pictures of any size, so that somebody has to choose one."""
    usual_image_size: int = 224
    """Side of pictures where nobody does, in pixels; the next smaller one that divides into tokens."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Each once."""
        rows = () if self.row_break is None else (self.row_break,)
        return tuple(dict.fromkeys((*self.before, *rows, *self.behind)))

    def image_size(self, config: Any, asked: int | None = None) -> int:
        """Side of the square that a picture is resized to: what was asked for, the encoder's own, or the usual one.

        Raises:
            ConfigError: for a size that the encoder doesn't take, or that doesn't divide into tokens.
        """
        own, stride = self._own_size(config), self.stride(config)
        size = asked or own or self.usual_image_size // stride * stride
        if own is not None and size != own:
            raise ConfigError(f"image_size is {asked}, this backbone's encoder takes {own}; leave it out")
        # A convolution whose patches are the tokens leaves a rest of its own picture unread (SigLIP's 384 by 14).
        leaves_rest = own is not None and stride == config.vision_config.patch_size
        if size % stride and not leaves_rest:
            raise ConfigError(
                f"image_size is {size}, but a token of this backbone is {stride} pixels wide; use "
                f"{max(1, round(size / stride)) * stride}"
            )
        return size

    def _own_size(self, config: Any) -> int | None:
        if self.takes_any_size:
            return None
        size = config.vision_config.image_size
        return int(size[0] if isinstance(size, (list, tuple)) else size)


def _gemma3_stride(config: Any) -> int:
    return int(config.vision_config.image_size / config.mm_tokens_per_image**0.5)


def _internvl_stride(config: Any) -> int:
    return int(config.vision_config.patch_size[0] / config.downsample_ratio)


def _idefics_stride(config: Any) -> int:
    return int(config.vision_config.patch_size * config.scale_factor)


def _lfm2_stride(config: Any) -> int:
    return int(config.vision_config.patch_size * config.downsample_factor)


def _mistral_stride(config: Any) -> int:
    return int(config.vision_config.patch_size * config.spatial_merge_size)


_FAKE, _GLOBAL = Mark("<fake_token_around_image>"), Mark("<global-img>")
_VISION = (Mark("<|vision_start|>", "vision_start_token_id"), Mark("<|vision_end|>", "vision_end_token_id"))

_IDEFICS = Family(stride=_idefics_stride, pixels=pixel_layouts.tiled, before=(_FAKE, _GLOBAL), behind=(_FAKE,))


def _qwen(scale: Scale) -> Family:
    return Family(
        stride=_by("patch_size", "spatial_merge_size"),
        pixels=pixel_layouts.merged_patches,
        scale=_always(scale),
        kinds=_modalities,
        takes_any_size=True,
        before=_VISION[:1],
        behind=_VISION[1:],
    )


FAMILIES: Mapping[str, Family] = {
    "paligemma": Family(stride=_by("patch_size"), kinds=_one_block, begins_behind_image=True),
    "smolvlm": _IDEFICS,
    "idefics3": _IDEFICS,
    "qwen2_vl": _qwen(CLIP),
    "qwen2_5_vl": _qwen(CLIP),
    "qwen3_vl": _qwen(HALF),
    "qwen3_5": _qwen(HALF),
    "gemma3": Family(
        stride=_gemma3_stride,
        kinds=_token_types,
        before=(Mark("<start_of_image>", "boi_token_id"),),
        behind=(Mark("<end_of_image>", "eoi_token_id"),),
    ),
    "gemma4": Family(
        stride=_by("patch_size", "pooling_kernel_size"),
        pixels=pixel_layouts.placed_patches,
        scale=_always(UNIT),
        kinds=_modalities,
        takes_any_size=True,
        before=(Mark("<|image>", "boi_token_id"),),
        behind=(Mark("<image|>", "eoi_token_id"),),
    ),
    "internvl": Family(
        stride=_internvl_stride, scale=_always(IMAGENET), before=(Mark("<img>"),), behind=(Mark("</img>"),)
    ),
    "llava": Family(stride=_by("patch_size"), scale=_llava_scale),
    "mistral3": Family(
        stride=_mistral_stride,
        pixels=pixel_layouts.sized,
        scale=_always(CLIP),
        takes_any_size=True,
        row_break=Mark("[IMG_BREAK]"),
        behind=(Mark("[IMG_END]"),),
    ),
    "lfm2_vl": Family(
        stride=_lfm2_stride,
        pixels=pixel_layouts.counted_patches,
        takes_any_size=True,
        before=(Mark("<|image_start|>"),),
        behind=(Mark("<|image_end|>"),),
    ),
}
"""By Hugging Face's model type."""

UNSUPPORTED: Mapping[str, str] = {
    "florence2": "it is an encoder-decoder: no decoder reads picture and words, whose layers could be left early",
    "llava_onevision": "its class cuts every picture into tiles of several sizes; take `llava`",
    "llava_next": "its class cuts every picture into tiles of several sizes; take `llava`",
    "perception_lm": "its vision encoder is timm's, which is no dependency of dualsys",
    "fast_vlm": "its vision encoder is timm's, which is no dependency of dualsys",
    "gemma3n": "its vision encoder is timm's, which is no dependency of dualsys; take `gemma3` or `gemma4`",
    "mllama": "its decoder reads pictures by cross-attention, without tokens of the picture",
}
"""Why not, by Hugging Face's model type."""


def family_of(model_type: str) -> Family:
    """The family of a model type. Raises `ConfigError` that says why where there is none."""
    if model_type in UNSUPPORTED:
        raise ConfigError(f"planner backbone {model_type!r} is not supported: {UNSUPPORTED[model_type]}")
    if model_type not in FAMILIES:
        raise ConfigError(
            unknown_name("planner backbone of model type", model_type, FAMILIES)
            + "; a family is added by a few lines in dualsys/planner/families.py"
        )
    return FAMILIES[model_type]
