"""From GR00T's own configurations to ours: what their classes take by default, and what is refused."""

import re
from typing import Any

import pytest
import torch

from dualsys.app.importing.layouts.groot import Version
from dualsys.app.importing.layouts.groot_config import groot_actor_config, groot_backbone_config
from dualsys.app.importing.layouts.groot_published import groot_planner_config
from dualsys.errors import CheckpointError
from dualsys.planner.feature_backbones import build_backbone
from dualsys.planner.feature_config import EagleConfig

DIT: dict[str, Any] = {
    "num_layers": 32,
    "num_attention_heads": 32,
    "attention_head_dim": 48,
    "output_dim": 1024,
    "positional_embeddings": None,
    "interleave_self_attention": True,
}
VISION: dict[str, Any] = {"hidden_size": 24, "patch_size": 14}
TEXT: dict[str, Any] = {"hidden_size": 32}


def test_the_versions_differ_where_they_should() -> None:
    sized = {"action_dim": 32, "max_state_dim": 64, "action_horizon": 16, "backbone_embedding_dim": 2048}
    early = groot_actor_config({**sized, "diffusion_model_cfg": DIT}, "n1_5")
    middle = groot_actor_config({"diffusion_model_cfg": DIT, "state_dropout_prob": 0.1}, "n1_6")
    late = groot_actor_config({"diffusion_model_cfg": DIT}, "n1_7")
    assert [c.reads for c in (early, middle, late)] == ["everything", "text-and-image", "text-and-image"]
    assert [c.num_future_tokens for c in (early, middle, late)] == [32, 0, 0]
    assert [c.max_actions for c in (early, middle, late)] == [32, 29, 132]
    assert [c.time_draw for c in (early, middle, late)] == ["shifted", "scaled", "scaled"]
    assert [(c.state_dropout, c.state_mask_token) for c in (early, middle, late)] == [
        (0.0, False),
        (0.1, True),
        (0.2, False),
    ]
    plain = groot_actor_config({"diffusion_model_cfg": DIT, "use_alternate_vl_dit": False}, "n1_7")
    assert plain.reads == "everything"


@pytest.mark.parametrize(
    ("version", "head", "message"),
    [
        ("n1_7", {**DIT, "activation_fn": "geglu"}, "activation_fn is 'geglu'; only 'gelu-approximate' can be loaded"),
        ("n1_7", {**DIT, "positional_embeddings": "sinusoidal"}, "positional_embeddings is 'sinusoidal'"),
        ("n1_6", {**DIT, "output_dim": 512}, "hidden_size is 1024, diffusion_model_cfg.output_dim 512"),
        ("n1_6", {**DIT, "num_attention_heads": 16}, "input_embedding_dim is 1536, heads times width"),
    ],
)
def test_an_architecture_that_we_do_not_have_is_refused(version: Version, head: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        groot_actor_config({"diffusion_model_cfg": head}, version)


def test_eagle_3_loads_without_windows_and_rotary_positions() -> None:
    told = {"vision": VISION, "text": TEXT, "select_layer": 16, "image_token": 151669}
    plain = {**VISION, "use_windows_attn": False, "use_rope": False, "window_size": 14}
    config = groot_backbone_config({**told, "vision": plain}, "n1_6")
    assert isinstance(config, EagleConfig)
    assert (config.vision_kind, config.downsample, config.connector_layers) == ("siglip2", "unshuffle", 2)
    assert config.vision == VISION
    with pytest.raises(CheckpointError, match="use_windows_attn, use_rope, which transformers' SigLIP 2 doesn't have"):
        groot_backbone_config(told, "n1_6")


def test_published_planners_have_room_for_pictures_and_words() -> None:
    for version, each in (("n1_5", 256), ("n1_7", 64)):
        config = groot_planner_config(version, cameras=("head", "wrist"))  # type: ignore[arg-type]
        with torch.device("meta"):
            backbone = build_backbone(config.backbone, "sdpa")
        assert backbone.tokens_of(config.images.size, config.images.size) == each
        assert config.num_tokens - 2 * each >= config.max_text_tokens + 40
        assert config.backbone.width == 2048
    with pytest.raises(CheckpointError, match=r"N1\.6 cuts and resizes pictures isn't known"):
        groot_planner_config("n1_6", cameras=("head",))


def test_eagle_2_5_may_shuffle_and_project() -> None:
    told = {"vision": VISION, "text": TEXT, "select_layer": 12, "image_token": 151669}
    shuffled = {"use_pixel_shuffle": True, "mlp_connector_layers": 2, "downsample_ratio": 0.5, "project_to_dim": 64}
    config = groot_backbone_config({**told, **shuffled}, "n1_5")
    assert isinstance(config, EagleConfig)
    assert (config.downsample, config.downsample_factor, config.connector_layers) == ("shuffle", 2, 2)
    assert config.width == 64
