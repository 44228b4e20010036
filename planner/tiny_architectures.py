"""A small architecture of each family, with fresh weights: what `--backbone qwen3_vl` builds where no model is at hand.

All are of the shipped planner's size: pictures cut into tokens of 12 pixels, a decoder of three layers of width 128.
What a family's own code does (where positions come from, which tokens see which, how patches are merged) is as at full
size.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from dualsys.planner.config import TINY_PALIGEMMA

TOKEN_PX = 12
"""Side of a picture's part that becomes a token."""
WIDTH = 128
LAYERS = 3
_HEADS = 4
_KEY_HEADS = 2
_INNER = 256
# transformers' default, 0.02, is for widths of thousands; at 128 it leaves the layers all but silent at first.
_LOUD = 0.08
_PATCH_PX = TOKEN_PX // 2
"""Of families that merge four patches into a token."""

_TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": _INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _KEY_HEADS,
    "head_dim": WIDTH // _HEADS,
    "max_position_embeddings": 512,
    "initializer_range": _LOUD,
}
_VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 3 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": _HEADS,
}
_WINDOWED = {"sliding_window": 256}
_QUARTERS = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]}
"""Half a head's pairs of channels: for time, rows and columns."""


def tiny_architecture(name: str, image_size: int) -> dict[str, Any]:
    """Arguments of the Hugging Face configuration; a copy.

    Args:
        name: A family of `TINY`.
        image_size: Side of the pictures in pixels, a multiple of `TOKEN_PX`.
    """
    return copy.deepcopy(TINY[name](image_size))


def _siglip(image_size: int, patch: int) -> dict[str, Any]:
    return {**_VISION, "image_size": image_size, "patch_size": patch, "vision_use_head": False}


def _paligemma(image_size: int) -> dict[str, Any]:
    return TINY_PALIGEMMA | {"vision_config": TINY_PALIGEMMA["vision_config"] | {"image_size": image_size}}


def _paligemma2(image_size: int) -> dict[str, Any]:
    text = {**_TEXT, **_WINDOWED, "model_type": "gemma2", "query_pre_attn_scalar": WIDTH // _HEADS}
    return _paligemma(image_size) | {"text_config": text}


def _idefics(image_size: int) -> dict[str, Any]:
    return {
        "scale_factor": 2,
        "vision_config": {**_VISION, "image_size": image_size, "patch_size": _PATCH_PX},
        "text_config": {**_TEXT, "model_type": "llama"},
    }


def _qwen2_vl(_image_size: int) -> dict[str, Any]:
    vision = {"depth": LAYERS, "embed_dim": WIDTH, "hidden_size": WIDTH, "num_heads": _HEADS, "mlp_ratio": 3}
    return _qwen(vision)


def _qwen2_5_vl(_image_size: int) -> dict[str, Any]:
    windows = {"window_size": 8 * _PATCH_PX, "fullatt_block_indexes": [LAYERS - 1]}
    return _qwen({**_qwen_vision(), **windows})


def _qwen3_vl(image_size: int) -> dict[str, Any]:
    places = {"num_position_embeddings": (image_size // _PATCH_PX) ** 2, "deepstack_visual_indexes": [0]}
    return _qwen({**_qwen_vision(), **places})


def _qwen3_5(image_size: int) -> dict[str, Any]:
    made = _qwen({**_qwen_vision(), "num_position_embeddings": (image_size // _PATCH_PX) ** 2})
    made["text_config"] |= {
        "layer_types": ["linear_attention"] * (LAYERS - 1) + ["full_attention"],
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_num_key_heads": _KEY_HEADS,
        "linear_num_value_heads": _HEADS,
        "rope_parameters": {**_QUARTERS, "partial_rotary_factor": 1.0},
    }
    return made


def _qwen_vision() -> dict[str, Any]:
    return {
        "depth": LAYERS,
        "hidden_size": WIDTH,
        "out_hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_heads": _HEADS,
    }


def _qwen(vision: dict[str, Any]) -> dict[str, Any]:
    cut = {"patch_size": _PATCH_PX, "spatial_merge_size": 2, "temporal_patch_size": 2}
    return {"vision_config": {**vision, **cut}, "text_config": {**_TEXT, "rope_parameters": _QUARTERS}}


def _gemma3(image_size: int) -> dict[str, Any]:
    return {
        "mm_tokens_per_image": (image_size // TOKEN_PX) ** 2,
        "vision_config": _siglip(image_size, _PATCH_PX),
        "text_config": {**_TEXT, **_WINDOWED, "query_pre_attn_scalar": WIDTH // _HEADS},
    }


def _gemma4(image_size: int) -> dict[str, Any]:
    vision = {
        **_VISION,
        "num_key_value_heads": _HEADS,
        "head_dim": WIDTH // _HEADS,
        "patch_size": _PATCH_PX,
        "pooling_kernel_size": 2,
        "default_output_length": (image_size // TOKEN_PX) ** 2,
        "position_embedding_size": max(64, image_size // _PATCH_PX),
    }
    text = {
        **_TEXT,
        **_WINDOWED,
        "global_head_dim": WIDTH // _HEADS,
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 16,
        "layer_types": ["sliding_attention"] * (LAYERS - 1) + ["full_attention"],
    }
    return {"audio_config": None, "vision_config": vision, "text_config": text}


def _internvl(image_size: int) -> dict[str, Any]:
    vision = {**_VISION, "image_size": [image_size] * 2, "patch_size": [_PATCH_PX] * 2}
    return {
        "downsample_ratio": 0.5,
        "image_seq_length": (image_size // TOKEN_PX) ** 2,
        "vision_config": vision,
        "text_config": {**_TEXT, "model_type": "qwen2"},
    }


def _llava(image_size: int) -> dict[str, Any]:
    vision = {**_VISION, "model_type": "clip_vision_model", "projection_dim": WIDTH}
    return {
        "vision_config": {**vision, "image_size": image_size, "patch_size": TOKEN_PX},
        "image_seq_length": (image_size // TOKEN_PX) ** 2,
        "text_config": {**_TEXT, "model_type": "llama"},
    }


def _mistral3(image_size: int) -> dict[str, Any]:
    vision = {**_VISION, "model_type": "pixtral", "head_dim": WIDTH // _HEADS}
    return {
        "spatial_merge_size": 2,
        "vision_config": {**vision, "image_size": image_size, "patch_size": _PATCH_PX},
        "text_config": {**_TEXT, "model_type": "mistral"},
    }


def _lfm2_vl(image_size: int) -> dict[str, Any]:
    vision = {**_VISION, "model_type": "siglip2_vision_model", "patch_size": _PATCH_PX}
    text = {**_TEXT, "model_type": "lfm2", "block_auto_adjust_ff_dim": False}
    return {
        "downsample_factor": 2,
        "projector_hidden_size": WIDTH,
        "vision_config": {**vision, "num_patches": (image_size // _PATCH_PX) ** 2},
        "text_config": {**text, "layer_types": ["full_attention", "conv", "full_attention"]},
    }


TINY: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "paligemma": _paligemma,
    "paligemma2": _paligemma2,
    "smolvlm": _idefics,
    "idefics3": _idefics,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_5": _qwen3_5,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "internvl": _internvl,
    "llava": _llava,
    "mistral3": _mistral3,
    "lfm2_vl": _lfm2_vl,
}
"""By the name that a configuration gives; a size of picture in pixels to the arguments."""
VARIANTS = {"paligemma2": "paligemma"}
"""Names that share another's model type, and differ in its configuration."""
