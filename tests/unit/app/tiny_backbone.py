"""The smallest PaliGemma that does everything a large one does."""

from typing import Any

ARCHITECTURE: dict[str, Any] = {
    "projection_dim": 16,
    "vision_config": {
        "image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vision_use_head": False,
    },
    "text_config": {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64,
    },
}  # fmt: skip
