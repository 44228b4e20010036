"""Configurations of SmolVLA from those of its language model and from LeRobot's `config.json`."""

from typing import Any

from dualsys.actor.joint_config import JointExpertConfig
from dualsys.embodiment import PrefixSpec
from dualsys.planner.prefix_config import PrefixImages, PrefixPlannerConfig, StateConfig

SMOLVLM2_500M: dict[str, Any] = {
    "image_token_id": 49190,
    "scale_factor": 4,
    "tie_word_embeddings": False,
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "patch_size": 16,
        "image_size": 512,
    },
    "text_config": {
        "model_type": "llama",
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "head_dim": 64,
        "vocab_size": 49280,
        "rms_norm_eps": 1e-5,
    },
}
"""SmolVLM2-500M-Video-Instruct's architecture."""
ROPE_BASE = 10_000.0
"""Of all positions: SmolVLA's authors turn by this one, whatever the language model was trained with."""


def smolvla_planner_config(
    *,
    vlm: dict[str, Any] = SMOLVLM2_500M,
    num_layers: int = 16,
    cameras: tuple[str, ...],
    state: StateConfig,
    prefix_length: int = -1,
    special_tokens: tuple[int, int] | None = None,
    **changes: Any,
) -> PrefixPlannerConfig:
    """The prefix of a SmolVLM.

    Args:
        vlm: Arguments of the language model's configuration.
        num_layers: Decoder layers that are run (`num_vlm_layers`).
        cameras: In order.
        state: How the state is told.
        prefix_length: Length that the prefix is padded to; -1: none.
        special_tokens: The tokenizer's fake image token and global image token, where images are framed by them.
        changes: Further options of `PrefixPlannerConfig`.
    """
    text = {name: value for name, value in vlm["text_config"].items() if name not in ("rope_theta", "rope_scaling")}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": ROPE_BASE}
    frame = ((), ()) if special_tokens is None else (special_tokens, special_tokens[:1])
    settings: dict[str, Any] = {"images": PrefixImages(resize="pad-before"), "begin": False}
    return PrefixPlannerConfig(
        family="smolvlm",
        architecture={**vlm, "text_config": text},
        num_layers=num_layers,
        cameras=cameras,
        scale_embeddings=True,
        image_frame=frame,
        state=state,
        state_token=True,
        padded_length=max(prefix_length, 0),
        **{**settings, **changes},
    )


def smolvla_actor_config(
    *,
    vlm: dict[str, Any] = SMOLVLM2_500M,
    num_layers: int = 16,
    num_expert_layers: int = -1,
    width_multiplier: float = 0.75,
    cross: bool = True,
    self_attention_every: int = 2,
    **changes: Any,
) -> JointExpertConfig:
    """The expert beside a SmolVLM.

    Args:
        vlm: Arguments of the language model's configuration.
        num_layers: Decoder layers of the language model that are run.
        num_expert_layers: Layers of the expert; not above 0: as many.
        width_multiplier: Of the expert's width (`expert_width_multiplier`).
        cross: Whether there are layers that attend to the prefix alone (`attention_mode` with `cross`).
        self_attention_every: Every how many-th layer attends to rows, too (`self_attn_every_n_layers`).
        changes: Further options of `JointExpertConfig`.
    """
    text = vlm["text_config"]
    heads = int(text["num_attention_heads"])
    width = int(text["hidden_size"] * width_multiplier)
    depth = num_expert_layers if num_expert_layers > 0 else num_layers
    settings: dict[str, Any] = {
        "width": width,
        "depth": depth,
        "feed_forward_width": _feed_forward_width(width),
        "num_heads": heads,
        "prefix": PrefixSpec(
            layers=num_layers,
            heads=int(text.get("num_key_value_heads", heads)),
            head_dim=int(text.get("head_dim") or text["hidden_size"] // heads),
        ),
        "prefix_every": num_layers // depth,
        "norm": "rms",
        "norm_eps": float(text.get("rms_norm_eps", 1e-5)),
        "activation": "silu",
        "state_token": False,
        "causal": True,
        "joint_every": max(self_attention_every, 0) if cross else 1,
        "rope_base": ROPE_BASE,
    }
    return JointExpertConfig(**{**settings, **changes})


def _feed_forward_width(width: int, multiple: int = 256) -> int:
    """Eight thirds of the width, up to a multiple: Llama's rule, rounded twice as SmolVLA's authors do."""
    hidden = 4 * int(2 * width / 3)
    return multiple * -(-hidden // multiple)
