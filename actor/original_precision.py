"""The dtype rules of pi0's, pi0.5's and SmolVLA's authors: what is bfloat16, and what stays float32.

    bfloat16   the products inside the layers: attention's projections, feed-forward; the tokens between layers
    float32    norms with their weights and modulations, softmax, rotary angles, the flow time's embedding and network,
               the projectors of state and actions, and so the velocity and its integration

openpi and LeRobot load their float32 files that way (`to_bfloat16_for_selected_params`): a velocity in bfloat16 would
have two or three digits, and ten steps of it add up.
"""

import copy

import torch

from dualsys.actor.joint_expert import JointExpert


def with_original_precision(expert: JointExpert) -> JointExpert:
    """A copy for sampling whose layers' products are bfloat16, and whatever the originals keep is float32."""
    made = copy.deepcopy(expert).float()
    for layer in made.decoder_layers():
        layer.attention.to(torch.bfloat16)
        layer.feed_forward.to(torch.bfloat16)
    return made.requires_grad_(False).eval()
