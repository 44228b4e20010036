"""Heads that exist in training only: they read positions off what the planner sees, and are thrown away.

They teach a vision-language model that starts from nothing where things are, long before the flow loss could. At run
time there are pixels, words and proprioception.

Shape legend: B frames, P image tokens, D hidden width, K subgoal tokens, C their width, O kinds of object.
"""

import torch
from torch import Tensor, nn

METRES = 0.1
"""Unit of the heads: about the spread of positions on a table."""


class SubgoalPosition(nn.Module):
    """Where the named object is, read off the subgoal's tokens: what makes the latent carry the place."""

    def __init__(self, num_tokens: int, dim: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(num_tokens * dim, 128), nn.GELU(approximate="tanh"), nn.Linear(128, 3))

    def forward(self, tokens_BKC: Tensor) -> Tensor:
        """`(B, 3)` in units of `METRES`."""
        seen: Tensor = self.head(tokens_BKC.flatten(1))
        return seen


class PicturePositions(nn.Module):
    """Where the named object and every kind of object are, as spatial softmax over the backbone's image tokens.

    Each query's attention over the picture is turned into a place by a smooth map from the grid to the table, so the
    only way to be right is to look at the object (spatial softmax: Levine et al., JMLR 17 (2016), section 4.2).
    """

    def __init__(self, hidden_width: int, num_image_tokens: int, num_kinds: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_width)
        self.queries = nn.Linear(hidden_width, 1 + num_kinds)
        self.to_place = nn.Linear(6, 3, bias=False)
        nn.init.zeros_(self.to_place.weight)
        with torch.no_grad():
            # A camera that looks down and ahead: up in the picture is away from the robot, right is its right.
            self.to_place.weight[0, 2] = -2.0
            self.to_place.weight[1, 1] = -4.0
        self.grid_P6: Tensor
        self.register_buffer("grid_P6", _grid_features(num_image_tokens), persistent=False)

    def forward(self, hidden_BPD: Tensor) -> Tensor:
        """`(B, 1 + O, 3)` in units of `METRES`: the named object, then each kind."""
        weights_BPO = self.queries(self.norm(hidden_BPD)).softmax(dim=1)
        return torch.einsum("bpo,pk->bok", weights_BPO, self.to_place(self.grid_P6))


def squared_error(seen: Tensor, true: Tensor) -> Tensor:
    """Mean squared error over the places that are known: unknown ones are NaN in `true`."""
    known = torch.isfinite(true)
    error = (seen - true.nan_to_num()).square() * known
    return error.sum() / known.sum().clamp(min=1)


def _grid_features(num_tokens: int) -> Tensor:
    """`(P, 6)`: 1, u, v, uv, u^2, v^2 of each cell of a square grid, u to the right and v down, both in [-1, 1]."""
    side = round(num_tokens**0.5)
    axis = torch.linspace(-1.0, 1.0, side)
    v_P, u_P = (cell.flatten() for cell in torch.meshgrid(axis, axis, indexing="ij"))
    return torch.stack([torch.ones_like(u_P), u_P, v_P, u_P * v_P, u_P * u_P, v_P * v_P], dim=-1)
