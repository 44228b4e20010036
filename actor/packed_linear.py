"""`PackedLinear`: a linear layer whose weights lie in the order that oneDNN's products read them in.

A chunk has few rows (tens), so a plain product spends as long on putting the weights in order as on multiplying: on a
processor with AVX2, packed products of 50 rows take two thirds of the time. torch does the same to a compiled model
that is frozen (its `mkldnn` operators, which are called here), without the minutes of compiling.

A packed weight has no gradient, and can't be read back.
"""

from typing import Self

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """`nn.Linear`, for float32 on a processor."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, rows: int) -> None:
        """`rows` is the number that the order is best for; any number may come."""
        super().__init__()
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.detach().contiguous(), rows)
        """Opaque; its type and device can be asked for."""
        self.bias = None if bias_O is None else bias_O.detach().clone()

    @classmethod
    def of(cls, linear: nn.Linear, *, rows: int) -> Self:
        """With the weights of now."""
        return cls(linear.weight, linear.bias, rows=rows)

    @property
    def block(self) -> tuple[int, int]:
        """Address of the weights, and their size in bytes."""
        return torch.ops.mkldnn.data_ptr(self.weight), torch.ops.mkldnn._nbytes(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., I)` to `(..., O)`."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out
