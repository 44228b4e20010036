"""Diffusion Policy's network: a one-dimensional U-Net over rows, conditioned by scale and shift (FiLM).

Chi et al., "Diffusion Policy" (arXiv 2303.04137), section 3. Its modules are named as in LeRobot's
`DiffusionConditionalUnet1d`, so that such weights load as they are.

Shape legend: B batch, A rows, U actions, D channels, G what it is conditioned on.
"""

import math
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from dualsys.actor.head_config import UNetConfig

_LAST_GROUPS = 8
"""Of the last block's norm, whatever the others have: the originals leave it at its default."""


class StepEmbedding(nn.Module):
    """Sines and cosines `(B, D)` of a level."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, level_B: Tensor) -> Tensor:
        """Periods from 2 pi to 2 pi * 10,000."""
        half = self.dim // 2
        frequency = torch.exp(torch.arange(half, device=level_B.device) * -(math.log(10_000) / (half - 1)))
        angle = level_B[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class ConvBlock(nn.Module):
    """Convolution, group norm, Mish."""

    def __init__(self, before: int, after: int, *, kernel: int, groups: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(before, after, kernel, padding=kernel // 2),
            nn.GroupNorm(groups, after),
            nn.Mish(),
        )

    def forward(self, x_BDA: Tensor) -> Tensor:
        """`(B, D, A)`."""
        out: Tensor = self.block(x_BDA)
        return out


class ResidualBlock(nn.Module):
    """Two convolutions with the condition between them, beside a way around."""

    def __init__(self, before: int, after: int, condition: int, config: UNetConfig) -> None:
        super().__init__()
        self.film_scale = config.film_scale
        self.conv1 = ConvBlock(before, after, kernel=config.kernel_size, groups=config.groups)
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(condition, after * (2 if config.film_scale else 1)))
        self.conv2 = ConvBlock(after, after, kernel=config.kernel_size, groups=config.groups)
        self.residual_conv = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x_BDA: Tensor, condition_BG: Tensor) -> Tensor:
        """`(B, D, A)`."""
        told_BD1 = self.cond_encoder(condition_BG)[..., None]
        inner_BDA = self.conv1(x_BDA)
        if self.film_scale:
            scale_BD1, shift_BD1 = told_BD1.chunk(2, dim=1)
            inner_BDA = scale_BD1 * inner_BDA + shift_BD1
        else:
            inner_BDA = inner_BDA + told_BD1
        out: Tensor = self.conv2(inner_BDA) + self.residual_conv(x_BDA)
        return out


class ConditionalUNet(nn.Module):
    """What a level of noise in rows is, from the rows and a condition."""

    def __init__(self, config: UNetConfig, *, num_actions: int, condition: int) -> None:
        super().__init__()
        dims, width = config.down_dims, config.step_dim
        self.diffusion_step_encoder = nn.Sequential(
            StepEmbedding(width), nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width)
        )

        def block(before: int, after: int) -> ResidualBlock:
            return ResidualBlock(before, after, width + condition, config)

        levels = list(zip((num_actions, *dims[:-1]), dims, strict=True))
        self.down_modules = nn.ModuleList(
            nn.ModuleList(
                [
                    block(before, after),
                    block(after, after),
                    nn.Conv1d(after, after, 3, 2, 1) if index < len(levels) - 1 else nn.Identity(),
                ]
            )
            for index, (before, after) in enumerate(levels)
        )
        self.mid_modules = nn.ModuleList([block(dims[-1], dims[-1]), block(dims[-1], dims[-1])])
        self.up_modules = nn.ModuleList(
            nn.ModuleList(
                [block(2 * after, before), block(before, before), nn.ConvTranspose1d(before, before, 4, 2, 1)]
            )
            for before, after in reversed(levels[1:])
        )
        last = ConvBlock(dims[0], dims[0], kernel=config.kernel_size, groups=_LAST_GROUPS)
        self.final_conv = nn.Sequential(last, nn.Conv1d(dims[0], num_actions, 1))

    def forward(self, x_BAU: Tensor, level_B: Tensor, condition_BG: Tensor) -> Tensor:
        """`(B, A, U)`."""
        told_BG = torch.cat([self.diffusion_step_encoder(level_B), condition_BG], dim=-1)
        x_BDA = rearrange(x_BAU, "b a u -> b u a")
        kept = []
        for first, second, smaller in cast(Any, self.down_modules):
            x_BDA = second(first(x_BDA, told_BG), told_BG)
            kept.append(x_BDA)
            x_BDA = smaller(x_BDA)
        for middle in self.mid_modules:
            x_BDA = middle(x_BDA, told_BG)
        for first, second, larger in cast(Any, self.up_modules):
            x_BDA = larger(second(first(torch.cat([x_BDA, kept.pop()], dim=1), told_BG), told_BG))
        out: Tensor = rearrange(self.final_conv(x_BDA), "b u a -> b a u")
        return out
