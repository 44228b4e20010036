"""LeRobot's ACT and Diffusion Policy: their transformer and their U-Net, from the shapes of their weights.

Names are theirs, a policy's prefix (`model.`, `diffusion.unet.`) aside. What makes features of pictures, a ResNet of
torchvision's, is not read: here a planner does that.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from dualsys.actor.act_network import ActNetwork
from dualsys.actor.conditional_unet import ConditionalUNet
from dualsys.actor.head_config import ActConfig, UNetConfig
from dualsys.app.importing.rules import require_fit
from dualsys.config import describe_invalid
from dualsys.errors import CheckpointError

_PICTURES = ("backbone.",)
"""Prefixes of what isn't read."""


def act_network(weights: Mapping[str, Tensor], *, num_heads: int, activation: str) -> ActNetwork:
    """ACT's transformer with LeRobot's weights, for evaluation.

    Args:
        weights: Of `ACT`, or of a policy's file.
        num_heads: Of attention: no shape tells it (LeRobot's `n_heads`, 8).
        activation: Within feed-forward layers, which nothing tells either (its `feedforward_activation`, `relu`).

    Raises:
        CheckpointError: for a tensor that is missing, unexpected or of another shape, and what isn't built here.
    """
    found = _stripped(weights, "model.")
    horizon, width = _shape(found, "decoder_pos_embed.weight")
    if not _depth(found, "vae_encoder.layers."):
        raise CheckpointError(
            "no vae_encoder: this ACT was trained without one (use_vae false); only those with one can be built"
        )
    config = _config(
        ActConfig,
        shape={"horizon": horizon, "width": width, "num_heads": num_heads, "smoothing_window": 0},
        activation=activation,
        feed_forward=_shape(found, "encoder.layers.0.linear1.weight")[0],
        encoder_layers=_depth(found, "encoder.layers."),
        decoder_layers=_depth(found, "decoder.layers."),
        vae_layers=_depth(found, "vae_encoder.layers."),
        latent_dim=_shape(found, "encoder_latent_input_proj.weight")[1],
        feature_channels=_shape(found, "encoder_img_feat_input_proj.weight")[1],
    )
    network = ActNetwork(
        config,
        num_actions=_shape(found, "vae_encoder_action_input_proj.weight")[1],
        num_states=_shape(found, "encoder_robot_state_input_proj.weight")[1],
        subgoal_dim=0,
    )
    return _filled(network, found, "ACT")


def diffusion_unet(weights: Mapping[str, Tensor], *, groups: int) -> ConditionalUNet:
    """Diffusion Policy's U-Net with LeRobot's weights, for evaluation.

    Args:
        weights: Of `DiffusionConditionalUnet1d`, or of a policy's file.
        groups: Of the group norms: no shape tells it (LeRobot's `n_groups`, 8).

    Raises:
        CheckpointError: for a tensor that is missing, unexpected or of another shape.
    """
    found = _stripped(weights, "diffusion.unet.")
    levels = _depth(found, "down_modules.")
    first = [_shape(found, f"down_modules.{level}.0.conv1.block.0.weight") for level in range(levels)]
    step_dim = _shape(found, "diffusion_step_encoder.3.weight")[0]
    told, condition = _shape(found, "down_modules.0.0.cond_encoder.1.weight")
    config = _config(
        UNetConfig,
        down_dims=tuple(shape[0] for shape in first),
        kernel_size=first[0][2],
        groups=groups,
        step_dim=step_dim,
        film_scale=told == 2 * first[0][0],
    )
    network = ConditionalUNet(config, num_actions=first[0][1], condition=condition - step_dim)
    return _filled(network, found, "U-Net")


_Config = TypeVar("_Config", bound=BaseModel)


def _config(kind: type[_Config], **settings: Any) -> _Config:
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise CheckpointError(f"no such {kind.__name__.removesuffix('Config')}: {describe_invalid(error)}") from error


def _stripped(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Without a policy's prefix, and without what makes features of pictures."""
    found = {name.removeprefix(prefix): value for name, value in weights.items()}
    return {name: value for name, value in found.items() if not name.startswith(_PICTURES)}


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in weights:
        raise CheckpointError(f"1 missing: {name}, which tells the size of the rest")
    return tuple(weights[name].shape)


def _depth(weights: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})


_Network = TypeVar("_Network", bound=torch.nn.Module)


def _filled(network: _Network, weights: Mapping[str, Tensor], where: str) -> _Network:
    require_fit(weights, network.state_dict(), where=where)
    network.load_state_dict(dict(weights))
    return network.eval()
