"""openpi's dtype rule for the vision-language model of pi0 and pi0.5.

    float32    the vision model's patches and their places; the decoder's norms, softmax and rotary angles
    bfloat16   everything else: tokens, products, the vision model's own norms, keys and values

Source: openpi, `gemma_pytorch.py`, `to_bfloat16_for_selected_params`. (LeRobot keeps all of the vision model wide.)
"""

from typing import Any, cast

import torch

from dualsys.errors import ConfigError
from dualsys.planner.prefix_network import PrefixNetwork

_WIDE = ("patch_embedding", "position_embedding", "input_layernorm", "post_attention_layernorm", "language_model.norm")
"""Parts of the names of parameters that stay in float32."""


def use_original_precision(network: PrefixNetwork) -> None:
    """Change a network for planning, in place: weights that become bfloat16 don't come back.

    Raises:
        ConfigError: for another family than pi0's.
    """
    if network.config.family != "paligemma":
        raise ConfigError(
            f"precision 'original' is for planners of the pi family; a {network.config.family} plans in float32. "
            "Leave --planner-precision out"
        )
    for name, weight in network.model.named_parameters():
        if not any(part in name for part in _WIDE):
            weight.data = weight.data.to(torch.bfloat16)
    embeddings = cast(Any, network.model).vision_tower.embeddings
    embeddings.register_forward_hook(lambda *passed: passed[-1].to(torch.bfloat16))
