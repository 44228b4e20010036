"""Qwen3-VL with its decoder cut, read before the last norm: GR00T N1.7's planner (Cosmos-Reason2-2B).

transformers runs it: 3-axis rotary positions, deepstack features added behind the first layers. The last layer's output
is taken behind the layer, because transformers has given both, the output before the norm and after it, under one name.

Shape legend: B batch, I images of the whole batch, C channels, H height, W width, Q patches of all images, E a patch's
values, S prompt length, D width.
"""

from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from transformers import Qwen3VLConfig as TransformersConfig
from transformers import Qwen3VLModel

from dualsys.planner.causal_mask import causal_mask
from dualsys.planner.early_exit import output_of
from dualsys.planner.feature_config import Qwen3VLConfig
from dualsys.planner.pixel_layouts import merged_patches


class Qwen3VL(nn.Module):
    """Prompt and images to features `(B, S, D)`."""

    def __init__(self, config: Qwen3VLConfig, *, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self._flash = attention.startswith("flash")
        architecture = dict(config.architecture)
        text = {**architecture["text_config"], "num_hidden_layers": config.select_layer, "use_cache": False}
        text.pop("layer_types", None)
        made = cast(Any, TransformersConfig)(**{**architecture, "text_config": text}, attn_implementation=attention)
        self.model: nn.Module = cast(Any, Qwen3VLModel)(made)
        vision = made.vision_config
        self.patch_size: int = vision.patch_size
        self.merge: int = vision.spatial_merge_size

    def forward(self, patches_QE: Tensor, grid_I3: Tensor, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Features before the last norm, those of padding too; `grid` is each image's (frames, rows, columns)."""
        model = cast(Any, self.model)
        kinds_BS = (input_ids_BS == self.config.image_token_id).int()
        # Told by the mask of tokens, which the mask of pairs then stands in for.
        positions = model.compute_3d_position_ids(
            input_ids=input_ids_BS,
            inputs_embeds=None,
            image_grid_thw=grid_I3,
            attention_mask=mask_BS,
            mm_token_type_ids=kinds_BS,
        )
        run = partial(
            model,
            input_ids=input_ids_BS,
            attention_mask=mask_BS if self._flash else causal_mask(mask_BS, patches_QE.dtype),
            position_ids=positions,
            pixel_values=patches_QE,
            image_grid_thw=grid_I3,
            mm_token_type_ids=kinds_BS,
            use_cache=False,
        )
        return output_of(model.language_model.layers[-1], run)

    def tokens_of(self, height: int, width: int) -> int:
        """How many tokens an image of this size becomes."""
        side = self.patch_size * self.merge
        return (height // side) * (width // side)

    def pixels(self, images_ICHW: Tensor) -> dict[str, Tensor]:
        """Arguments of `forward` from images in [-1, 1], all of one size: a still counts as so many equal frames."""
        shown = merged_patches(images_ICHW, cast(Any, self.model).config)
        return {"patches_QE": shown["pixel_values"], "grid_I3": shown["image_grid_thw"]}
