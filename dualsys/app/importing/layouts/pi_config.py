"""Configurations of pi0, pi0.5 and SmolVLA from the sizes that their publishers name."""

from typing import Any, NamedTuple

from dualsys.actor.joint_config import JointExpertConfig
from dualsys.app.importing.layouts.pi import PiVersion
from dualsys.embodiment import PrefixSpec
from dualsys.planner.prefix_config import PrefixPlannerConfig, StateConfig

IMAGE_TOKEN = 257152
"""PaliGemma's; it stands outside of the vocabulary, and these models never look it up."""


class GemmaSize(NamedTuple):
    """Of a Gemma, in openpi's words."""

    width: int
    depth: int
    mlp_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int


GEMMA_SIZES = {
    "gemma_2b": GemmaSize(width=2048, depth=18, mlp_dim=16_384, num_heads=8, num_kv_heads=1, head_dim=256),
    "gemma_300m": GemmaSize(width=1024, depth=18, mlp_dim=4096, num_heads=8, num_kv_heads=1, head_dim=256),
}
"""Published ones (`paligemma_variant`, `action_expert_variant`)."""

SIGLIP = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "projection_dim": 2048,
    "projector_hidden_act": "gelu_fast",
    "vision_use_head": False,
}
"""PaliGemma's vision tower at 224 pixels."""


def pi_planner_config(
    version: PiVersion,
    *,
    vlm: GemmaSize = GEMMA_SIZES["gemma_2b"],
    vision: dict[str, Any] = SIGLIP,
    vocabulary: int = IMAGE_TOKEN,
    cameras: tuple[str, ...],
    state: StateConfig | None = None,
    **changes: Any,
) -> PrefixPlannerConfig:
    """The prefix of a PaliGemma. `changes` are further options of `PrefixPlannerConfig`."""
    settings: dict[str, Any] = {
        "max_text_tokens": 48 if version == "pi0" else 200,
        "prompt": "words-and-state" if version == "pi05" and state is not None else "words",
    }
    return PrefixPlannerConfig(
        family="paligemma",
        architecture={
            "projection_dim": vlm.width,
            "image_token_id": vocabulary,
            "vision_config": {**vision, "projection_dim": vlm.width},
            "text_config": {
                "model_type": "gemma",
                "hidden_size": vlm.width,
                "intermediate_size": vlm.mlp_dim,
                "num_hidden_layers": vlm.depth,
                "num_attention_heads": vlm.num_heads,
                "num_key_value_heads": vlm.num_kv_heads,
                "head_dim": vlm.head_dim,
                "hidden_activation": "gelu_pytorch_tanh",
                "vocab_size": vocabulary,
            },
        },
        cameras=cameras,
        state=state,
        **{**settings, **changes},
    )


def pi_actor_config(
    version: PiVersion,
    *,
    vlm: GemmaSize = GEMMA_SIZES["gemma_2b"],
    expert: GemmaSize = GEMMA_SIZES["gemma_300m"],
    **changes: Any,
) -> JointExpertConfig:
    """The expert beside a PaliGemma. `changes` are further options of `JointExpertConfig`."""
    adaptive = version == "pi05"
    settings: dict[str, Any] = {
        "width": expert.width,
        "depth": expert.depth,
        "feed_forward_width": expert.mlp_dim,
        "num_heads": expert.num_heads,
        "prefix": PrefixSpec(layers=vlm.depth, heads=vlm.num_kv_heads, head_dim=vlm.head_dim),
        "norm": "adaptive-rms" if adaptive else "rms-offset",
        "time": "adaptive" if adaptive else "fused",
        "state_token": not adaptive,
    }
    return JointExpertConfig(**{**settings, **changes})
