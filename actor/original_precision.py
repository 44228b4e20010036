"""The dtype rules of the experts' authors: what is bfloat16, and what stays float32.

    pi0, pi0.5, SmolVLA   bfloat16: the products inside the layers (attention's projections, feed-forward), the tokens
                          between layers. float32: norms with their weights and modulations, softmax, rotary angles,
                          the flow time's embedding and network, the projectors of state and actions, the velocity
    GR00T                 bfloat16: all but the count of time
    ours                  bfloat16: the products inside the blocks. float32: the tokens between blocks, and what stays
                          so for pi0

Whichever it is, rows are integrated in float32: a velocity's two or three digits are lost once, not added up over ten
steps. openpi and LeRobot load their float32 files that way (`to_bfloat16_for_selected_params`).
"""

import copy
from typing import Any, cast

import torch
from torch import nn

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.joint_expert import JointExpert
from dualsys.errors import ConfigError


def with_original_precision(expert: Any) -> Any:
    """A copy of a `FlowExpert` for sampling, its weights those of now, in bfloat16 where its authors have it.

    Raises:
        ConfigError: for a network that has no such rules.
    """
    if not isinstance(expert, JointExpert | DiTExpert | ActionExpert):
        raise ConfigError(f"a {type(expert).__name__} has no rules of precision; leave --actor-precision out")
    made = copy.deepcopy(expert).float()
    if isinstance(made, DiTExpert):
        made.to(torch.bfloat16)
    else:
        for layer in made.layers if isinstance(made, JointExpert) else made.blocks:
            for part in ("attention", "feed_forward"):
                cast(nn.Module, getattr(layer, part)).to(torch.bfloat16)
    return made.requires_grad_(False).eval()
