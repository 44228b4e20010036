"""The models of `benchmarks.model_speed`: of each family a small one, a medium one and the published one, as told to
LeRobot and to us; and inputs for them.

Medium keeps the families' proportions at about half their width and depth: an expert of 512 to 768, 8 to 12 layers, a
prefix of 240 to 560 tokens. In small ones what isn't a matrix product weighs more.
"""

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Size: TypeAlias = Literal["small", "medium", "full"]
Family: TypeAlias = Literal["pi0", "pi05", "smolvla", "groot_n1_7"]
FAMILIES: tuple[Family, ...] = ("pi0", "pi05", "smolvla", "groot_n1_7")
Spec: TypeAlias = dict[str, Any]

MISSING_WORDS = 0.5
"""Share of a prompt's places that are padding: instructions are short."""


def spec_of(family: Family, size: Size) -> Spec:
    """Everything about a model that both sides build; `cameras` and `words` say how long its prefix is."""
    match family:
        case "pi0" | "pi05":
            return {"family": family, **_PI, "words": 48 if family == "pi0" else 200, **_PI_SIZES[size]}
        case "smolvla":
            return {"family": family, **_SMOLVLA, **_SMOLVLA_SIZES[size]}
        case "groot_n1_7":
            return {"family": family, "steps": 4, "words": 32, **_groot(*_GROOT_SIZES[size])}


def inputs_of(spec: Spec, seed: int) -> dict[str, Tensor]:
    """Pictures, words, state and noise for a batch of one."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    if spec["family"] == "groot_n1_7":
        return _groot_inputs(spec, normal)
    words, width = spec["words"], spec["max_dim"]
    told = torch.arange(words)[None] < round(words * (1.0 - MISSING_WORDS))
    vocabulary = spec["vocab"] if "vocab" in spec else spec["vlm"]["text_config"]["vocab_size"]
    vision = spec["vision"] if "vision" in spec else spec["vlm"]["vision_config"]
    side = vision["image_size"]
    inputs = {
        "tokens": torch.randint(3, vocabulary - 8, (1, words), generator=generator),
        "token_mask": told,
        "state": normal(1, width),
        "noise": normal(1, spec["chunk"], width),
    }
    for camera in range(spec["cameras"]):
        inputs[f"image_{camera}"] = torch.rand(1, 3, side, side, generator=generator) * 2.0 - 1.0
        inputs[f"seen_{camera}"] = torch.ones(1, dtype=torch.bool)
    return inputs


def _gemma(width: int, depth: int, mlp_dim: int, head_dim: int) -> dict[str, int]:
    return {
        "width": width,
        "depth": depth,
        "mlp_dim": mlp_dim,
        "num_heads": 8,
        "num_kv_heads": 1,
        "head_dim": head_dim,
    }


def _siglip(width: int, depth: int, inside: int, heads: int, side: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "intermediate_size": inside,
        "num_attention_heads": heads,
        "patch_size": 14,
        "image_size": side,
        "projector_hidden_act": "gelu_fast",
        "vision_use_head": False,
    }


_PI: Spec = {"vocab": 2048, "chunk": 50, "max_dim": 32, "steps": 10, "cameras": 2}
_PI_SIZES: dict[Size, Spec] = {
    "small": {
        "vlm": _gemma(256, 4, 1024, 64),
        "expert": _gemma(128, 4, 512, 64),
        "vision": _siglip(128, 2, 256, 4, 112),
    },
    "medium": {
        "vlm": _gemma(1024, 9, 4096, 128),
        "expert": _gemma(512, 9, 2048, 128),
        "vision": _siglip(384, 6, 1536, 6, 224),
    },
    "full": {
        "vlm": _gemma(2048, 18, 16_384, 256),
        "expert": _gemma(1024, 18, 4096, 256),
        "vision": _siglip(1152, 27, 4304, 16, 224),
        "cameras": 3,
    },
}
_SMOLVLA: Spec = {"chunk": 50, "max_dim": 32, "steps": 10, "cameras": 3, "words": 48}


def _smolvlm(width: int, heads: tuple[int, int], inside: int, layers: int, vision: dict[str, int]) -> Spec:
    return {
        "num_vlm_layers": layers,
        "vlm": {
            "scale_factor": 4,
            "image_token_id": 2040,
            "pad_token_id": 2,
            "tie_word_embeddings": False,
            "vision_config": vision,
            "text_config": {
                "model_type": "llama",
                "hidden_size": width,
                "intermediate_size": inside,
                "num_hidden_layers": layers,
                "num_attention_heads": heads[0],
                "num_key_value_heads": heads[1],
                "head_dim": 64,
                "vocab_size": 2048,
                "rms_norm_eps": 1e-5,
                "rope_theta": 100_000,
                "pad_token_id": 2,
                "tie_word_embeddings": False,
            },
        },
    }


def _vit(width: int, depth: int, heads: int, side: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": 16,
        "image_size": side,
    }


_SMOLVLA_SIZES: dict[Size, Spec] = {
    "small": _smolvlm(384, (6, 2), 1024, 4, _vit(192, 2, 3, 256)),
    "medium": _smolvlm(768, (12, 4), 2048, 8, _vit(384, 4, 6, 512)),
    "full": _smolvlm(960, (15, 5), 2560, 16, _vit(768, 12, 12, 512)),
}


def _groot(width: int, heads: int, depth: int, text: tuple[int, int, int], vision: tuple[int, int], side: int) -> Spec:
    """Width and heads of the action transformer; width, layers and inside of the decoder; width, layers of the eye."""
    text_width, layers, inside = text
    head_dim = 128 if text_width >= 2048 else 64
    return {
        "image_side": side,
        "cameras": 2,
        "qwen3vl": {
            "image_token_id": 2040,
            "video_token_id": 2041,
            "vision_start_token_id": 2042,
            "vision_end_token_id": 2043,
            "tie_word_embeddings": True,
            "text_config": {
                "attention_bias": False,
                "head_dim": head_dim,
                "hidden_act": "silu",
                "hidden_size": text_width,
                "intermediate_size": inside,
                "model_type": "qwen3_vl_text",
                "num_attention_heads": text_width // head_dim,
                "num_hidden_layers": layers,
                "num_key_value_heads": text_width // head_dim // 2,
                "rms_norm_eps": 1e-6,
                "rope_scaling": {
                    "mrope_interleaved": True,
                    "mrope_section": [24, 20, 20] if head_dim == 128 else [12, 10, 10],
                    "rope_type": "default",
                },
                "rope_theta": 5_000_000,
                "tie_word_embeddings": True,
                "vocab_size": 2048,
                "max_position_embeddings": 4096,
            },
            "vision_config": {
                "deepstack_visual_indexes": [5, 11, 17] if vision[1] > 17 else [0, 1],
                "depth": vision[1],
                "hidden_act": "gelu_pytorch_tanh",
                "hidden_size": vision[0],
                "in_channels": 3,
                "intermediate_size": 4 * vision[0],
                "model_type": "qwen3_vl",
                "num_heads": vision[0] // 64,
                "num_position_embeddings": 256,
                "out_hidden_size": text_width,
                "patch_size": 16,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
            },
        },
        "head": {
            "backbone_embedding_dim": text_width,
            "select_layer": layers,
            "max_state_dim": 132,
            "max_action_dim": 132,
            "action_horizon": 40,
            "hidden_size": width,
            "input_embedding_dim": width,
            "max_num_embodiments": 4,
            "model_dtype": "float32",
            "dtype": "float32",
            "diffusion_model_cfg": _transformer(depth, heads, width // heads)
            | {"norm_type": "ada_norm", "output_dim": width, "interleave_self_attention": True},
            "vl_self_attention_cfg": _transformer(2, text_width // 64, 64),
        },
    }


def _transformer(depth: int, heads: int, head_width: int) -> dict[str, Any]:
    return {
        "positional_embeddings": None,
        "num_layers": depth,
        "num_attention_heads": heads,
        "attention_head_dim": head_width,
        "dropout": 0.2,
        "final_dropout": True,
    }


_GROOT_SIZES: dict[Size, tuple[int, int, int, tuple[int, int, int], tuple[int, int], int]] = {
    "small": (192, 4, 4, (256, 3, 512), (128, 2), 128),
    "medium": (768, 16, 12, (1024, 6, 3072), (384, 4), 256),
    "full": (1536, 32, 32, (2048, 16, 6144), (1024, 24), 256),
}


def _groot_inputs(spec: Spec, normal: Any) -> dict[str, Tensor]:
    side, cameras, head = spec["image_side"], spec["cameras"], spec["head"]
    grid, token = side // 16, spec["qwen3vl"]["image_token_id"]
    picture = torch.cat([torch.tensor([2042]), torch.full(((grid // 2) ** 2,), token), torch.tensor([2043])])
    words = torch.arange(10, 10 + spec["words"])
    ids = torch.cat([*[picture] * cameras, words])[None]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": normal(cameras * grid**2, 3 * 2 * 16 * 16),
        "image_grid_thw": torch.tensor([[1, grid, grid]] * cameras),
        "state": normal(1, head["max_state_dim"]),
        "embodiment_id": torch.tensor([1]),
        "noise": normal(1, head["action_horizon"], head["max_action_dim"]),
    }
