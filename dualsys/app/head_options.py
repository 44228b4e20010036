"""Options of `dualsys train` that a head or a small backbone can't have: told before a dataset is decoded."""

from dualsys.actor.config import FlowActorConfig
from dualsys.errors import ConfigError
from dualsys.planner.tiny_architectures import TINY, tiny_architecture

_SAMPLED = ("flow", "diffusion", "unet")
"""Heads whose rows begin as noise."""
_HALVINGS = 2
"""Of the rows, in `--head unet`: `head_choice` builds two levels, each but the last halves them."""


def require_head_options(head: str, shape: FlowActorConfig, max_prefix: int | None) -> None:
    """Raise `ConfigError` for settings of flow matching that another head would pass over, and for rows it can't have.

    Args:
        head: Value of --head.
        shape: That of --actor.
        max_prefix: Value of --max-prefix.
    """
    usual = FlowActorConfig()
    flow_alone = ("solver", "num_inference_steps") if head != "flow" else ()
    for name in (*flow_alone, *(() if head in _SAMPLED else ("noise",))):
        if getattr(shape, name) != getattr(usual, name):
            heads = " and ".join(_SAMPLED) if name == "noise" else "flow"
            option = f"--actor.{name.replace('_', '-')}"
            raise ConfigError(f"{option} is read by the head {heads} alone, not by --head {head}; leave it out")
    if head == "unet" and shape.horizon % _HALVINGS:
        raise ConfigError(f"--head unet halves its rows: --actor.horizon {shape.horizon} is odd")
    if max_prefix is None:
        return
    if head != "flow":
        raise ConfigError(f"--max-prefix: only flow matching learns to continue rows; leave it or --head {head} out")
    if max_prefix >= shape.horizon:
        raise ConfigError(f"--max-prefix {max_prefix} leaves no row of a chunk of {shape.horizon} to sample")


def require_layers(backbone: str, image_size: int, *, exit_layer: int | None, tune_layers: int | None) -> None:
    """Raise `ConfigError` for layers that a decoder doesn't have, as far as it is known without loading a model."""
    if exit_layer is not None and exit_layer < 1:
        raise ConfigError(f"--exit-layer must be at least 1, got {exit_layer}; leave it out to use all layers")
    family = "paligemma" if backbone == "tiny" else backbone
    if family not in TINY or (exit_layer is None and tune_layers is None):
        return
    layers = int(tiny_architecture(family, image_size)["text_config"]["num_hidden_layers"])
    if exit_layer is not None and exit_layer > layers:
        raise ConfigError(f"--exit-layer {exit_layer}: the decoder of {backbone} has {layers} layers")
    running = exit_layer or layers
    if tune_layers is not None and tune_layers > running:
        raise ConfigError(f"--tune-layers {tune_layers}: {running} layers of the decoder of {backbone} run")
