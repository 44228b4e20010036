"""The velocity field: a diffusion transformer over action tokens that cross-attends to the subgoal.

The layout follows GR00T N1 (arXiv 2503.14734, section 2.1): tokens are [state, action rows]; even blocks attend to the
subgoal's tokens, odd ones to each other; flow time enters through adaptive norms. Two things are added for a planner
that runs elsewhere: the subgoal's age enters beside the flow time, and a learned null subgoal stands in for one that is
missing, expired or dropped in training. An expert with `max_prefix` may be given its first rows as they are, marked,
and samples the rest behind them (training-time real-time chunking, arXiv 2512.05964, which marks by the flow time).

Shape legend: B batch, A action rows, U actions, X states, K subgoal tokens, C their width, D width, T = 1 + A tokens.
"""

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.layers import AdaptiveNorm, Block, sinusoidal_embedding


class Condition(NamedTuple):
    """What the motion depends on, all normalised."""

    state_BX: Tensor
    subgoal_BKC: Tensor
    mask_BK: Tensor
    """False where a token is padding. A row with no True at all is the null subgoal."""
    age_B: Tensor
    """Age of the subgoal in seconds at the time of the state; unread for the null subgoal."""
    image_BCHW: Tensor | None = None
    """In [-1, 1]; only for experts with fast vision."""
    prefix_BA: Tensor | None = None
    """True where a row is given and free of noise; only for experts that have learned it."""


class FastVision(nn.Module):
    """Strided convolutions to tokens; positions are learned because the grid is small and fixed."""

    def __init__(self, config: FastVisionConfig, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for channels in config.channels:
            layers += [nn.Conv2d(previous, channels, 3, stride=2, padding=1), nn.GELU()]
            previous = channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(previous, width, 1))
        shrink = 2 ** len(config.channels)
        grid = -(-config.camera.height // shrink) * -(-config.camera.width // shrink)
        self.position = nn.Parameter(torch.randn(grid, width) * 0.02)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Tokens `(B, S, D)` of an image in [-1, 1]."""
        tokens_BSD = rearrange(self.layers(image_BCHW), "b d h w -> b (h w) d")
        out: Tensor = tokens_BSD + self.position
        return out


class ActionExpert(nn.Module):
    """Velocity of noisy actions, given state, subgoal and its age."""

    def __init__(
        self, config: FlowActorConfig, *, num_actions: int, num_states: int, num_subgoal_tokens: int, subgoal_dim: int
    ) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.action_in = nn.Linear(num_actions, width)
        self.state_in = nn.Sequential(nn.Linear(num_states, width), nn.GELU(), nn.Linear(width, width))
        self.position = nn.Parameter(torch.randn(1 + config.horizon, width) * 0.02)
        self.prefix_mark = nn.Parameter(torch.zeros(width)) if config.max_prefix else None
        """Tells a row that is given from one that is sampled."""
        self.null_subgoal = nn.Parameter(torch.randn(num_subgoal_tokens, subgoal_dim) * 0.02)
        self.time_mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.age_mlp = nn.Sequential(nn.Linear(width + 1, width), nn.SiLU(), nn.Linear(width, width))
        self.subgoal_in = nn.Linear(subgoal_dim, width)
        self.vision = None if config.vision is None else FastVision(config.vision, width)
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, context_width=width if index % 2 == 0 else None)
            for index in range(config.depth)
        )
        self.norm_out = AdaptiveNorm(width)
        self.action_out = nn.Linear(width, num_actions)
        nn.init.zeros_(self.action_out.weight)
        nn.init.zeros_(self.action_out.bias)

    def forward(self, x_BAU: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """Velocity `(B, A, U)` at noisy actions `x` and flow time `t` (0 noise, 1 data)."""
        context_BSD, mask_BS = self._context(condition)
        condition_BD = self._adaptive(t_B, condition)
        state_B1D = self.state_in(condition.state_BX)[:, None]
        tokens_BTD = torch.cat([state_B1D, self._rows(x_BAU, condition)], dim=1) + self.position
        for block in self.blocks:
            tokens_BTD = block(tokens_BTD, condition_BD, context_BSD, mask_BS)
        out: Tensor = self.action_out(self.norm_out(tokens_BTD, condition_BD)[:, 1:])
        return out

    def _rows(self, x_BAU: Tensor, condition: Condition) -> Tensor:
        rows_BAD: Tensor = self.action_in(x_BAU)
        if condition.prefix_BA is None:
            return rows_BAD
        if self.prefix_mark is None:
            raise ValueError("this expert has not learned to continue a prefix")
        return rows_BAD + condition.prefix_BA[..., None] * self.prefix_mark

    def _context(self, condition: Condition) -> tuple[Tensor, Tensor]:
        present_B = condition.mask_BK.any(dim=-1)
        null_BKC = repeat(self.null_subgoal, "k c -> b k c", b=present_B.shape[0])
        tokens_BKC = torch.where(present_B[:, None, None], condition.subgoal_BKC, null_BKC)
        mask_BK = condition.mask_BK | ~present_B[:, None]
        context_BKD = self.subgoal_in(tokens_BKC)
        if self.vision is None:
            return context_BKD, mask_BK
        if condition.image_BCHW is None:
            raise ValueError("this expert has fast vision and needs an image")
        seen_BSD = self.vision(condition.image_BCHW)
        return torch.cat([context_BKD, seen_BSD], dim=1), F.pad(mask_BK, (0, seen_BSD.shape[1]), value=True)

    def _adaptive(self, t_B: Tensor, condition: Condition) -> Tensor:
        width = self.config.width
        present_B = condition.mask_BK.any(dim=-1).to(t_B.dtype)
        time_BD = self.time_mlp(sinusoidal_embedding(t_B, width, min_period=4e-3, max_period=4.0))
        # Periods from 0.1 s (finer than any planner's jitter) to 20 s (beyond any usable age).
        age_BD = sinusoidal_embedding(condition.age_B * present_B, width, min_period=0.1, max_period=20.0)
        out: Tensor = time_BD + self.age_mlp(torch.cat([age_BD * present_B[:, None], present_B[:, None]], dim=-1))
        return out
