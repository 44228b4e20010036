"""From the configurations that GR00T's checkpoints carry to ours, refusing what we don't have.

What a peer's file leaves out is what the peer's class takes by default; these defaults stand here.
"""

from collections.abc import Mapping
from typing import Any

from dualsys.actor.dit_config import DiTConfig
from dualsys.app.importing.layouts.groot import Version
from dualsys.errors import CheckpointError
from dualsys.planner.feature_config import EagleConfig, Qwen3VLConfig


def groot_actor_config(head: Mapping[str, Any], version: Version, **changes: Any) -> DiTConfig:
    """Ours from the peer's: `action_head_cfg` of N1.5's config.json, the whole of N1.6's and N1.7's.

    Raises:
        CheckpointError: for an architecture of theirs that we don't have.
    """
    told = {**_DEFAULTS, **_VERSION_DEFAULTS[version], **{k: v for k, v in head.items() if v is not None}}
    dit = {**_DIT_DEFAULTS, **told["diffusion_model_cfg"]}
    context = {**_DIT_DEFAULTS, "num_layers": 0, **(told.get("vl_self_attention_cfg") or {})}
    for where, section in (("diffusion_model_cfg", dit), ("vl_self_attention_cfg", context)):
        _require_known(section, f"GR00T {version}: {where}")
    alternates = bool(told["use_alternate_vl_dit"])
    config = {
        "horizon": told["action_horizon"],
        "max_actions": told.get("max_action_dim", told.get("action_dim")),
        "max_states": told["max_state_dim"],
        "state_history": told["state_history_length"],
        "num_robots": told["max_num_embodiments"],
        "depth": dit["num_layers"],
        "num_heads": dit["num_attention_heads"],
        "head_width": dit["attention_head_dim"],
        "projector_width": dit["output_dim"],
        "interleave_self_attention": dit["interleave_self_attention"],
        "reads": "text-and-image" if alternates else "everything",
        "text_every": told["attend_text_every_n_blocks"],
        "context_width": told["backbone_embedding_dim"],
        "context_norm": told["use_vlln"],
        # N1.5 leaves out both with its flag; the others tell the depth apart.
        "context_depth": context["num_layers"] if told["use_vlln"] or version != "n1_5" else 0,
        "context_heads": context["num_attention_heads"],
        "num_future_tokens": told["num_target_vision_tokens"],
        "positions": told["add_pos_embed"],
        "max_positions": told["max_seq_len"],
        "num_inference_steps": told["num_inference_timesteps"],
        "time_buckets": told["num_timestep_buckets"],
        "dropout": dit["dropout"],
        "state_dropout": told["state_dropout_prob"],
        "state_mask_token": version == "n1_6" and told["state_dropout_prob"] > 0,
        "state_noise": told.get("state_additive_noise_scale", 0.0),
        "time_draw": "shifted" if version == "n1_5" else "scaled",
        "time_alpha": told["noise_beta_alpha"],
        "time_cutoff": told["noise_s"],
    }
    _require_widths(told, dit, context, f"GR00T {version}")
    return DiTConfig.model_validate({**config, **changes})


_DIT_DEFAULTS: dict[str, Any] = {
    "num_attention_heads": 8,
    "attention_head_dim": 64,
    "output_dim": 26,
    "num_layers": 12,
    "dropout": 0.1,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "norm_type": "ada_norm",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-5,
    "positional_embeddings": "sinusoidal",
    "interleave_self_attention": False,
    "upcast_attention": False,
}
"""What the peers' classes take where a section doesn't tell."""

_KNOWN: dict[str, Any] = {
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "norm_type": "ada_norm",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-5,
    "positional_embeddings": None,
}
"""Of options that no published checkpoint changes, the one value that we have."""


def _require_widths(told: Mapping[str, Any], dit: Mapping[str, Any], context: Mapping[str, Any], where: str) -> None:
    """Widths that the peers tell twice, and we once."""
    pairs = [
        ("hidden_size", told["hidden_size"], "diffusion_model_cfg.output_dim", dit["output_dim"]),
        ("input_embedding_dim", told["input_embedding_dim"], "heads times width in diffusion_model_cfg", _width(dit)),
    ]
    if context["num_layers"]:
        pairs.append(
            (
                "backbone_embedding_dim",
                told["backbone_embedding_dim"],
                "the same in vl_self_attention_cfg",
                _width(context),
            )
        )
    for name, one, other_name, other in pairs:
        if one != other:
            raise CheckpointError(f"{where}: {name} is {one}, {other_name} {other}; they must be equal")


def _width(section: Mapping[str, Any]) -> int:
    return int(section["num_attention_heads"] * section["attention_head_dim"])


def _require_known(section: Mapping[str, Any], where: str) -> None:
    if not section["num_layers"]:
        return
    for name, value in _KNOWN.items():
        if section[name] != value:
            raise CheckpointError(f"{where}.{name} is {section[name]!r}; only {value!r} can be loaded")


_DEFAULTS: dict[str, Any] = {
    "add_pos_embed": True,
    "max_seq_len": 1024,
    "noise_beta_alpha": 1.5,
    "noise_beta_beta": 1.0,
    "noise_s": 0.999,
    "num_timestep_buckets": 1000,
    "num_inference_timesteps": 4,
    "max_num_embodiments": 32,
    "use_vlln": True,
    "hidden_size": 1024,
    "input_embedding_dim": 1536,
    "state_history_length": 1,
    "attend_text_every_n_blocks": 2,
    "state_dropout_prob": 0.0,
}
_VERSION_DEFAULTS: dict[Version, dict[str, Any]] = {
    "n1_5": {
        "backbone_embedding_dim": 1536,
        "num_target_vision_tokens": 32,
        "use_alternate_vl_dit": False,
    },
    "n1_6": {
        "backbone_embedding_dim": 2048,
        "num_target_vision_tokens": 0,
        "use_alternate_vl_dit": True,
        "max_state_dim": 29,
        "max_action_dim": 29,
        "action_horizon": 16,
    },
    "n1_7": {
        "backbone_embedding_dim": 2048,
        "num_target_vision_tokens": 0,
        "use_alternate_vl_dit": True,
        "max_state_dim": 132,
        "max_action_dim": 132,
        "action_horizon": 40,
        "state_dropout_prob": 0.2,
    },
}


_EAGLE_3_ONLY = ("window_size", "full_attention_indexes", "model_type")


def groot_backbone_config(config: Mapping[str, Any], version: Version) -> EagleConfig | Qwen3VLConfig:
    """Of the vision-language model, from its parts' configurations.

    Args:
        config: `vision`, `text`, `select_layer`, `image_token` and what else differs from Eagle 2.5 at 224 pixels for
            N1.5, from Eagle-Block2A for N1.6; `qwen3vl` and, in `head`, `select_layer` for N1.7.
        version: Of GR00T.

    Raises:
        CheckpointError: for N1.6 with a vision model of windows or rotary positions, which transformers doesn't have.
    """
    if version == "n1_7":
        return Qwen3VLConfig(architecture=dict(config["qwen3vl"]), select_layer=config["head"]["select_layer"])
    vision = dict(config["vision"])
    later = version == "n1_6"
    # Eagle 3's own class turns both on where the file doesn't tell.
    odd = [name for name in ("use_windows_attn", "use_rope") if later and vision.pop(name, True)]
    if odd:
        raise CheckpointError(
            f"GR00T N1.6's vision model is told (or left) to have {', '.join(odd)}, which transformers' SigLIP 2 "
            "doesn't have; its action head loads, its planner doesn't. Use N1.5 or N1.7"
        )
    shuffles = bool(config.get("use_pixel_shuffle", False))
    return EagleConfig(
        vision_kind="siglip2" if later else "siglip",
        vision={name: value for name, value in vision.items() if name not in _EAGLE_3_ONLY},
        text=dict(config["text"]),
        select_layer=config["select_layer"],
        vision_layer=config.get("vision_select_layer", -1),
        downsample="unshuffle" if later else "shuffle" if shuffles else "none",
        downsample_factor=round(1 / config.get("downsample_ratio", 0.5)),
        connector_layers=2 if later else config.get("mlp_connector_layers", 1),
        project_to=config.get("project_to_dim"),
        image_token_id=config["image_token"],
    )
