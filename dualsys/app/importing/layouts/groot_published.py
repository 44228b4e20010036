"""What the published GR00T models are, as far as their own configuration files leave it out, and how they see.

From NVIDIA's code: the architecture of the vision-language models, how pictures are cut and resized, the prompts.
"""

from dualsys.app.importing.layouts.groot import Version
from dualsys.errors import CheckpointError
from dualsys.planner.feature_config import (
    EAGLE_PROMPT,
    QWEN3_VL_PROMPT,
    EagleConfig,
    FeaturePlannerConfig,
    ImagesConfig,
    PromptConfig,
    Qwen3VLConfig,
)

EAGLE_2_5 = EagleConfig(
    vision={
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
    },
    text={
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151680,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
    },
    select_layer=12,
)
"""GR00T N1.5's: SigLIP so400m at 224 pixels, Qwen3-1.7B."""
EAGLE_BLOCK2A = EAGLE_2_5.model_copy(
    update={
        "vision_kind": "siglip2",
        "vision": {name: value for name, value in EAGLE_2_5.vision.items() if name != "image_size"},
        "select_layer": 16,
        "downsample": "unshuffle",
        "connector_layers": 2,
    }
)
"""GR00T N1.6's, where its SigLIP 2 has neither windows nor rotary positions."""
COSMOS_REASON2 = Qwen3VLConfig(
    architecture={
        "image_token_id": 151655,
        "video_token_id": 151656,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "tie_word_embeddings": True,
        "text_config": {
            "head_dim": 128,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "vocab_size": 151936,
            "rope_theta": 5000000,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "deepstack_visual_indexes": [5, 11, 17],
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "num_position_embeddings": 2304,
            "out_hidden_size": 2048,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    },
    select_layer=16,
)
"""GR00T N1.7's: Cosmos-Reason2-2B, of Qwen3-VL-2B's architecture. Its checkpoints name it and don't describe it."""

_SEES: dict[Version, tuple[EagleConfig | Qwen3VLConfig, ImagesConfig, PromptConfig, int]] = {
    "n1_5": (EAGLE_2_5, ImagesConfig(size=224, crop=0.95), EAGLE_PROMPT, 256),
    "n1_7": (
        COSMOS_REASON2,
        ImagesConfig(size=256, crop=230 / 256, resize_first=True, resample="area"),
        QWEN3_VL_PROMPT,
        64,
    ),
}
"""Model, pictures, prompt, and tokens of one picture."""

_ROOM_FOR_WORDS = 96
"""Tokens beside those of pictures: an instruction of up to 64, and what stands around it."""


def groot_planner_config(version: Version, *, cameras: tuple[str, ...]) -> FeaturePlannerConfig:
    """A planner of the published size. Raises `CheckpointError` for N1.6, of which it isn't known how it sees."""
    if version not in _SEES:
        raise CheckpointError("how GR00T N1.6 cuts and resizes pictures isn't known here; N1.5 and N1.7 are")
    backbone, images, prompt, each = _SEES[version]
    return FeaturePlannerConfig(
        backbone=backbone,
        cameras=cameras,
        images=images,
        prompt=prompt,
        num_tokens=each * len(cameras) + _ROOM_FOR_WORDS + 8 * len(cameras),
        schema_id=f"groot-{version}/1",
    )
