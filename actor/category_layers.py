"""Linear layers with weights of their own for each robot: GR00T's category-specific projectors (arXiv 2503.14734).

One expert drives many robots; only what touches their numbers, state and actions, is each robot's own. A robot is told
by its category: one number for a whole batch, which costs nothing, or one for each element, which copies its weights.

Shape legend: B batch, T tokens, I and O widths in and out, N categories.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Category: TypeAlias = Tensor | int
"""`(B,)` integers, or one number for all."""


class CategoryLinear(nn.Module):
    """`x @ weight[category] + bias[category]`; weights are `(N, I, O)`, not transposed as `nn.Linear`'s are."""

    def __init__(self, num_categories: int, in_width: int, out_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(num_categories, in_width, out_width))
        self.bias = nn.Parameter(torch.zeros(num_categories, out_width))

    def forward(self, x_BTI: Tensor, category: Category) -> Tensor:
        """`(B, T, O)`."""
        if isinstance(category, int):
            return x_BTI @ self.weight[category] + self.bias[category]
        return torch.bmm(x_BTI, self.weight[category]) + self.bias[category][:, None]


class CategoryMLP(nn.Module):
    """Two category-specific layers with a ReLU between."""

    def __init__(self, num_categories: int, in_width: int, hidden_width: int, out_width: int) -> None:
        super().__init__()
        self.hidden = CategoryLinear(num_categories, in_width, hidden_width)
        self.out = CategoryLinear(num_categories, hidden_width, out_width)

    def forward(self, x_BTI: Tensor, category: Category) -> Tensor:
        """`(B, T, O)`."""
        out: Tensor = self.out(F.relu(self.hidden(x_BTI, category)), category)
        return out


class CategoryActionEncoder(nn.Module):
    """Noisy action rows and the flow time to tokens."""

    def __init__(self, num_categories: int, num_actions: int, width: int) -> None:
        super().__init__()
        self.rows = CategoryLinear(num_categories, num_actions, width)
        self.mix = CategoryLinear(num_categories, 2 * width, width)
        self.out = CategoryLinear(num_categories, width, width)

    def forward(self, x_BAU: Tensor, bucket_B: Tensor, category: Category) -> Tensor:
        """`(B, A, D)`; the time is that of its bucket, an integer."""
        rows_BAD = self.rows(x_BAU, category)
        time_BAD = bucket_waves(bucket_B, rows_BAD.shape[-1])[:, None].to(rows_BAD.dtype).expand_as(rows_BAD)
        out: Tensor = self.out(F.silu(self.mix(torch.cat([rows_BAD, time_BAD], dim=-1), category)), category)
        return out


# Where it is, said: this file may first be imported while another device is the default, as an import's meta one is.
_LOG_10000 = torch.log(torch.tensor(10000.0, device="cpu")).item()


def bucket_waves(bucket_B: Tensor, width: int) -> Tensor:
    """`(B, width)`: sines, then cosines of a bucket at rates `10000^(-i / (width / 2))`.

    In float32 and in this order of operations, as the original: buckets reach 1000, where another order differs in
    the fifth digit.
    """
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=bucket_B.device)
    # A number, not a tensor on the processor: a CUDA graph can't be given one of those.
    exponent = -index * (_LOG_10000 / half)
    angle = bucket_B.float()[:, None] * exponent.exp()
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
