"""Denoising diffusion as pure functions: schedules of noise, and one step back.

    x_t = sqrt(abar_t) * data + sqrt(1 - abar_t) * noise          abar_t: the share of the data's variance at level t

Sources: DDPM (Ho et al., arXiv 2006.11239), DDIM (Song et al., arXiv 2010.02502, equation 12), the cosine schedule
(Nichol and Dhariwal, arXiv 2102.09672, equation 17), v (Salimans and Ho, arXiv 2202.00512). Names and constants are
those of diffusers, which the peers train with. Levels count up with the noise: 0 is nearly data.

Shape legend: B batch, T levels, `...` anything.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "sample", "v_prediction"]
_MOST_BETA = 0.999


def kept_shares(schedule: str, levels: int) -> Tensor:
    """`abar` of each level, `(T,)` float64."""
    if schedule == "squaredcos_cap_v2":
        edges = torch.arange(levels + 1, dtype=torch.float64) / levels
        bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - bar[1:] / bar[:-1]).clamp(max=_MOST_BETA)
    elif schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, levels, dtype=torch.float64)
    else:
        betas = torch.linspace(1e-4**0.5, 0.02**0.5, levels, dtype=torch.float64).square()
    return torch.cumprod(1 - betas, dim=0)


def visited_levels(levels: int, steps: int) -> list[int]:
    """Levels that sampling visits, from noise to data: evenly spaced, ending at 0 (diffusers' `leading`)."""
    stride = levels // steps
    return [index * stride for index in range(steps)][::-1]


def noised(data: Tensor, noise: Tensor, kept_B: Tensor) -> Tensor:
    """`x_t`, from each sample's `abar`."""
    kept = _spread(kept_B, data)
    out: Tensor = kept.sqrt() * data + (1 - kept).sqrt() * noise
    return out


def target(prediction: Prediction, data: Tensor, noise: Tensor, kept_B: Tensor) -> Tensor:
    """What the network is to tell of `x_t`."""
    kept = _spread(kept_B, data)
    if prediction == "epsilon":
        return noise
    velocity: Tensor = kept.sqrt() * noise - (1 - kept).sqrt() * data
    return data if prediction == "sample" else velocity


def believed_data(prediction: Prediction, x: Tensor, told: Tensor, kept: float) -> Tensor:
    """The data that `x` at a level is made of, if the network is right."""
    signal, noise = kept**0.5, (1 - kept) ** 0.5
    if prediction == "sample":
        return told
    data: Tensor = (x - noise * told) / signal if prediction == "epsilon" else signal * x - noise * told
    return data


def implied_noise(x: Tensor, data: Tensor, kept: float) -> Tensor:
    """The noise in `x` at a level, given the data."""
    noise: Tensor = (x - kept**0.5 * data) / (1 - kept) ** 0.5
    return noise


def within(x: Tensor, data: Tensor, kept: float, clip: float | None, eta: float) -> tuple[Tensor, Tensor]:
    """The data within `clip`, and the noise to step back with, as diffusers does it.

    Below an `eta` of 1 as its `DDIMScheduler`, whose default keeps the noise that the network told, whatever the data
    were clipped to. At 1 as its `DDPMScheduler`, whose mean is a sum of `x` and the clipped data.
    """
    bounded = data if clip is None else data.clamp(-clip, clip)
    return bounded, implied_noise(x, bounded if eta == 1 else data, kept)


def step_back(data: Tensor, noise: Tensor, kept: float, kept_next: float, eta: float, fresh: Tensor | None) -> Tensor:
    """From one level to a lower one.

    Args:
        data: What `x` is believed to be made of.
        noise: With this noise.
        kept: `abar` of the level.
        kept_next: `abar` of the lower one; 1: the data.
        eta: Share of DDPM's fresh noise.
        fresh: Standard normal, for `eta` above 0.
    """
    spread = eta * ((1 - kept_next) / (1 - kept) * (1 - kept / kept_next)) ** 0.5
    out: Tensor = kept_next**0.5 * data + max(0.0, 1 - kept_next - spread**2) ** 0.5 * noise
    return out if fresh is None or spread == 0 else out + spread * fresh


def _spread(values_B: Tensor, like: Tensor) -> Tensor:
    return values_B.view(-1, *[1] * (like.ndim - 1))
