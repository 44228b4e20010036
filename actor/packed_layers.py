"""Linear layers whose weights lie in the order that oneDNN's products read them in: packed once, not with each call.

A chunk has few rows (tens), so a plain product spends as long on putting the weights in order as on multiplying: on a
processor with AVX2, packed products of 50 rows take two thirds of the time. torch does the same to a compiled model
that is frozen (its `mkldnn` operators, which are called here), without the minutes of compiling.

A packed weight has no gradient, and can't be read back.
"""

import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from dualsys.actor.category_layers import Category, CategoryLinear
from dualsys.errors import ConfigError

Expert = TypeVar("Expert")


class PackedLinear(nn.Module):
    """`nn.Linear`, for float32 on a processor."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, rows: int) -> None:
        """`rows` is the number that the order is best for; any number may come."""
        super().__init__()
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.detach().contiguous(), rows)
        """Opaque; its type and device can be asked for."""
        self.bias = None if bias_O is None else bias_O.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """`(..., I)` to `(..., O)`."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


class PackedCategoryLinear(nn.Module):
    """`CategoryLinear` of one robot."""

    def __init__(self, linear: CategoryLinear, category: int, *, rows: int) -> None:
        super().__init__()
        self.category = category
        self.linear = PackedLinear(linear.weight[category].T, linear.bias[category], rows=rows)

    def forward(self, x_BTI: Tensor, category: Category) -> Tensor:
        """`(B, T, O)`. Raises `ValueError` for another robot."""
        if category is not self.category and category != self.category:
            raise ValueError(f"packed for robot {self.category}, asked for {category}")
        out: Tensor = self.linear(x_BTI)
        return out


def packed(expert: Expert, *, rows: int, category: int = 0) -> Expert:
    """A copy of an expert for sampling, its weights those of now.

    Args:
        expert: A module in float32 on a processor.
        rows: Of the products that matter.
        category: The robot whose category-specific layers are kept.

    Raises:
        ConfigError: weights that are elsewhere, or of another type; a torch without oneDNN.
    """
    module = cast(nn.Module, expert)
    _require_packable(module)
    linears = [each for each in module.modules() if isinstance(each, (nn.Linear, CategoryLinear))]
    # Those weights are packed, not copied: of a large expert there must be no third copy.
    shared = {id(weight): weight for each in linears for weight in each.parameters()}
    made = copy.deepcopy(module, cast("dict[int, Any]", shared))
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, PackedLinear(child.weight, child.bias, rows=rows))
            elif isinstance(child, CategoryLinear):
                setattr(parent, name, PackedCategoryLinear(child, category, rows=rows))
    # Only now: before, the packed layers' weights were the expert's own.
    return cast(Expert, made.requires_grad_(False).eval())


def _require_packable(module: nn.Module) -> None:
    found = {(weight.device.type, weight.dtype) for weight in module.parameters()}
    if found != {("cpu", torch.float32)}:
        told = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in found))
        raise ConfigError(f"weights are packed in torch.float32 on a processor; these are {told}. Use 'compiled' there")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise ConfigError("weights are packed by oneDNN, which this torch was built without. Use 'eager'")
