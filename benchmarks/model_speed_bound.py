"""The bound of `benchmarks.model_speed`: the matrix products of a chunk's sampling loop, alone.

Every product with a weight that sampling runs is noted while it runs, then all are run again, in the same order and of
the same shapes, through the library that the fastest engine uses (oneDNN with packed weights on a processor), and
nothing else: no attention, norms or activations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.packed_linear import PackedLinear
from dualsys.actor.sampling import EagerSampler, Moment


class Noted(NamedTuple):
    """A product: rows, and the module whose weight it is with."""

    rows: int
    module: nn.Module
    inputs: int
    outputs: int


def products_of(expert: Any, memory: Any, moment: Moment) -> list[Noted]:
    """Of one chunk, in order."""
    found: list[Noted] = []

    def note(module: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
        x = cast(Tensor, given[0])
        found.append(Noted(x.numel() // x.shape[-1], module, x.shape[-1], out.shape[-1]))

    sampler = EagerSampler(expert)
    sampler.sample(memory, moment)  # what is made of the flow times is kept from chunk to chunk
    layers = [each for each in expert.modules() if isinstance(each, (nn.Linear, CategoryLinear))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        sampler.sample(memory, moment)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def gigaflop(products: list[Noted]) -> float:
    """Multiplications and additions."""
    return sum(2 * each.rows * each.inputs * each.outputs for each in products) / 1e9


def bound(products: list[Noted]) -> Callable[[], object]:
    """Run them. On a processor with packed weights, else as they lie."""
    device = next(products[0].module.parameters()).device
    layers: dict[int, nn.Module] = {}
    for each in products:
        weight_OI = torch.randn(each.outputs, each.inputs, device=device)
        if id(each.module) not in layers:
            layers[id(each.module)] = (
                PackedLinear(weight_OI, None, rows=each.rows) if device.type == "cpu" else _plain(weight_OI)
            )
    inputs = {(p.rows, p.inputs): torch.randn(1, p.rows, p.inputs, device=device) for p in products}

    @torch.inference_mode()
    def run() -> object:
        for each in products:
            layers[id(each.module)](inputs[each.rows, each.inputs])
        return None

    return run


def _plain(weight_OI: Tensor) -> nn.Module:
    made = nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=False, device=weight_OI.device)
    made.weight.data = weight_OI
    return made
