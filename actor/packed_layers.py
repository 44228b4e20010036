"""`packed`: an expert for sampling, its products' weights packed once (`packed_linear`), not with each call."""

import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from dualsys.actor.category_layers import Category, CategoryLinear
from dualsys.actor.huge_pages import lie_in_huge_pages
from dualsys.actor.joint_expert import JointExpert
from dualsys.actor.joint_layers import GatedFeedForward, JointLayer, PrefixAttention, RMSNorm
from dualsys.actor.packed_expert import PackedJointExpert
from dualsys.actor.packed_joint import PackedAttention, PackedFeedForward, PackedLayer, PackedRMSNorm
from dualsys.actor.packed_linear import PackedLinear
from dualsys.errors import ConfigError

Expert = TypeVar("Expert")


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
    _pack_inside(made, rows, category)
    lie_in_huge_pages(each.block for each in made.modules() if isinstance(each, PackedLinear))
    if isinstance(made, JointExpert):
        made = PackedJointExpert(made)
    # Only now: before, the packed layers' weights were the expert's own.
    return cast(Expert, made.requires_grad_(False).eval())


def _pack_inside(module: nn.Module, rows: int, category: int) -> None:
    for name, child in list(module.named_children()):
        form = _packed_form(child, rows, category)
        if form is None:
            form = PackedLayer(child) if isinstance(child, JointLayer) else child
            _pack_inside(form, rows, category)
        setattr(module, name, form)


def _packed_form(module: nn.Module, rows: int, category: int) -> nn.Module | None:
    """Of what is packed as a whole; None for the rest, whose parts may be."""
    match module:
        case RMSNorm():
            return PackedRMSNorm(module, rows=rows)
        case GatedFeedForward():
            return PackedFeedForward(module, rows=rows)
        case PrefixAttention(joint=True):
            return PackedAttention(module, rows=rows)
        case nn.Linear():
            return PackedLinear.of(module, rows=rows)
        case CategoryLinear():
            return PackedCategoryLinear(module, category, rows=rows)
    return None


def _require_packable(module: nn.Module) -> None:
    found = {(weight.device.type, weight.dtype) for weight in module.parameters()}
    if found != {("cpu", torch.float32)}:
        told = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in found))
        raise ConfigError(f"weights are packed in torch.float32 on a processor; these are {told}. Use 'compiled' there")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise ConfigError("weights are packed by oneDNN, which this torch was built without. Use 'eager'")
