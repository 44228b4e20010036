"""The two kinds of backbones whose hidden states are a subgoal as they are, behind one face."""

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from dualsys.planner.feature_config import EagleConfig, Qwen3VLConfig


class FeatureBackbone(Protocol):
    """Prompt and images to features.

    Called with `input_ids_BS`, `mask_BS` and what `pixels` gives, it returns features `(B, S, D)`.
    """

    def __call__(self, **inputs: Tensor) -> Tensor:
        """Features `(B, S, D)`."""
        ...

    def pixels(self, images_ICHW: Tensor) -> dict[str, Tensor]:
        """Arguments from images in [-1, 1], in the order of their places in the prompts."""
        ...

    def tokens_of(self, height: int, width: int) -> int:
        """How many tokens an image of this size becomes."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Its weights."""
        ...


def build_backbone(config: EagleConfig | Qwen3VLConfig, attention: str) -> FeatureBackbone:
    """With fresh weights in float32, on the default device."""
    return cast(FeatureBackbone, _made(config, attention).to(torch.float32))


def _made(config: EagleConfig | Qwen3VLConfig, attention: str) -> nn.Module:
    # Here, since transformers takes a second or two for its classes, and most trainings know neither.
    if isinstance(config, EagleConfig):
        from dualsys.planner.eagle import Eagle

        return Eagle(config, attention=attention)
    from dualsys.planner.qwen3_vl import Qwen3VL

    return Qwen3VL(config, attention=attention)
