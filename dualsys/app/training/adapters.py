"""Low-rank adapters on a controller's linear layers: few weights to train, merged into the others when it is saved.

LoRA: Hu et al., arXiv 2106.09685; the layers are peft's. What a checkpoint holds is the merged controller, in the same
layout as any other.
"""

import copy
from typing import Any, cast

import torch
from torch import nn

from dualsys.errors import ConfigError, ExtraMissing

INSTALL_HINT = "install it with: pip install 'dualsys[finetune]'"


class Adapters:
    """Adapters of one module; the module's own weights are frozen."""

    def __init__(self, module: nn.Module, *, rank: int, whole: tuple[str, ...], spared: tuple[str, ...] = ()) -> None:
        """Put them on every linear layer of `module`, in place.

        Args:
            module: Whose linear layers get them.
            rank: Of each adapter.
            whole: Parameters whose names contain one of these are trained themselves.
            spared: Layers whose names contain one of these get none.

        Raises:
            ConfigError: for a rank above that of the largest of the layers.
            ExtraMissing: where peft is not installed.
        """
        try:
            from peft import LoraConfig, LoraModel
        except ImportError as error:
            raise ExtraMissing(f"adapters (LoRA) need peft; {INSTALL_HINT}") from error
        holder = nn.Sequential(module)  # peft would read a module's own `config`, which is not of its kind
        layers = [
            name
            for name, part in holder.named_modules()
            if type(part) is nn.Linear
            and not name.endswith("lm_head")  # shares the words' embedding, and is not read
            and not any(each in name for each in spared)
        ]
        most = max((min(cast(nn.Linear, holder.get_submodule(name)).weight.shape) for name in layers), default=rank)
        if rank > most:
            raise ConfigError(
                f"--lora-rank {rank} is more than any layer that it adapts has, {most}; 4 to 32 are usual"
            )
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers, lora_dropout=0.0)
        self._tuner: Any = LoraModel(holder, config, "default")
        for name, value in module.named_parameters():
            if any(part in name for part in whole):
                value.requires_grad_(True)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """A copy of the module as it would be without adapters, their work added to its weights."""
        plain: nn.Module = copy.deepcopy(self._tuner).merge_and_unload()[0]
        return plain.requires_grad_(False)
