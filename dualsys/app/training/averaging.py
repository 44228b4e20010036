"""Exponential moving average of weights: what is evaluated and shipped."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """Shadow of a module's parameters; the decay warms up so that early steps don't linger."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow: dict[str, Tensor] = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """After optimizer step number `step` (from 0)."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        values = dict(module.named_parameters())
        # All in one: on a GPU, a call for each weight takes longer than the sums.
        torch._foreach_lerp_([self.shadow[name] for name in values], list(values.values()), 1.0 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's weights with the average; call again to go back."""
        for name, value in module.named_parameters():
            kept = value.detach().clone()
            value.copy_(self.shadow[name])
            self.shadow[name].copy_(kept)
