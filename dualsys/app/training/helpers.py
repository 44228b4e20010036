"""Heads that exist in training only: they read positions off what the planner sees, and are thrown away.

They teach a vision-language model that starts from nothing where things are, long before the flow loss could. At run
time there are pixels, words and proprioception.

Shape legend: B frames, P image tokens, D hidden width, K subgoal tokens, C their width, T targets, O places.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

METRES = 0.1
"""Unit of the heads: about the spread of positions on a table."""


class SubgoalTargets(nn.Module):
    """What each hand is sent to, read off the subgoal's tokens: whether to something, and where it is.

    This is what makes the latent carry the place, and which hand is to go there.
    """

    def __init__(self, num_tokens: int, dim: int, num_targets: int) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Linear(num_tokens * dim, 128), nn.GELU(approximate="tanh"), nn.Linear(128, 4 * num_targets)
        )

    def forward(self, tokens_BKC: Tensor) -> tuple[Tensor, Tensor]:
        """Places `(B, T, 3)` in units of `METRES`, and logits `(B, T)` of there being one."""
        seen_BT4 = rearrange(self.head(tokens_BKC.flatten(1)), "b (t four) -> b t four", four=4)
        return seen_BT4[..., :3], seen_BT4[..., 3]


class PicturePositions(nn.Module):
    """Where each hand's target and every kind of object are, as spatial softmax over the backbone's image tokens.

    Each query's attention over the picture is turned into a place by a smooth map from the grid to the table, so the
    only way to be right is to look at the object (spatial softmax: Levine et al., JMLR 17 (2016), section 4.2).
    """

    def __init__(self, hidden_width: int, num_image_tokens: int, num_places: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_width)
        self.queries = nn.Linear(hidden_width, num_places)
        self.to_place = nn.Linear(6, 3, bias=False)
        nn.init.zeros_(self.to_place.weight)
        with torch.no_grad():
            # A camera that looks down and ahead: up in the picture is away from the robot, right is its right.
            self.to_place.weight[0, 2] = -2.0
            self.to_place.weight[1, 1] = -4.0
        self.grid_P6: Tensor
        self.register_buffer("grid_P6", _grid_features(num_image_tokens), persistent=False)

    def forward(self, hidden_BPD: Tensor) -> Tensor:
        """`(B, O, 3)` in units of `METRES`."""
        weights_BPO = self.queries(self.norm(hidden_BPD)).softmax(dim=1)
        return torch.einsum("bpo,pk->bok", weights_BPO, self.to_place(self.grid_P6))


def squared_error(seen: Tensor, true: Tensor) -> Tensor:
    """Mean squared error over the places that are known: unknown ones are NaN in `true`."""
    known = torch.isfinite(true)
    error = (seen - true.nan_to_num()).square() * known
    return error.sum() / known.sum().clamp(min=1)


def presence_error(logits_BT: Tensor, true_BT3: Tensor) -> Tensor:
    """Mean binary cross-entropy of there being a target; a row in which nobody knows of any counts for nothing."""
    present_BT = torch.isfinite(true_BT3).all(dim=-1)
    known_B1 = present_BT.any(dim=-1, keepdim=True)
    error_BT = F.binary_cross_entropy_with_logits(logits_BT, present_BT.to(logits_BT.dtype), reduction="none")
    return (error_BT * known_B1).sum() / known_B1.expand_as(error_BT).sum().clamp(min=1)


def _grid_features(num_tokens: int) -> Tensor:
    """`(P, 6)`: 1, u, v, uv, u^2, v^2 of each cell of a square grid, u to the right and v down, both in [-1, 1]."""
    side = round(num_tokens**0.5)
    axis = torch.linspace(-1.0, 1.0, side)
    v_P, u_P = (cell.flatten() for cell in torch.meshgrid(axis, axis, indexing="ij"))
    return torch.stack([torch.ones_like(u_P), u_P, v_P, u_P * v_P, u_P * u_P, v_P * v_P], dim=-1)
