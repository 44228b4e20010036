"""Flow matching as pure functions: time sampling, interpolant, target, loss, integrators.

**The one convention of this library: noise at t = 0, data at t = 1.** Integration runs forward from 0 to 1. (openpi and
LeRobot's pi0 run the other way; GR00T runs this way. Importers of checkpoints convert at their border.)

    x_t = (1 - t) * noise + t * data        the straight interpolant
    u_t = d x_t / d t = data - noise        the velocity the model learns

Sources: Lipman et al., "Flow Matching for Generative Modeling" (arXiv 2210.02747), equations 20 to 23 with sigma_min
= 0; the skewed time distribution is that of pi0 (arXiv 2410.24164, appendix B).

Shape legend: B batch, `...` anything.
"""

from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""`(x_B..., t_B) -> v_B...`"""


class Solver(StrEnum):
    """Integrators of the flow, by order: Euler 1, midpoint and Heun 2 (two evaluations a step)."""

    EULER = "euler"
    MIDPOINT = "midpoint"
    HEUN = "heun"


def sample_time(
    batch: int,
    *,
    alpha: float = 1.5,
    beta: float = 1.0,
    cutoff: float = 0.999,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Flow times `(B,)` in [0, cutoff], skewed towards noise: `t = cutoff * (1 - b)` with `b ~ Beta(alpha, beta)`.

    Early times decide which motion it will be, late ones only polish it, so training spends more on the early ones.
    Mean: `cutoff * beta / (alpha + beta)`. Drawn by the inverse distribution function for `beta == 1` (exact, and it
    takes a generator, which `torch.distributions.Beta` does not). They lie where the generator draws.

    Raises:
        ValueError: where `beta` is not 1, which has no closed inverse.
    """
    if beta != 1.0:
        raise ValueError(f"sample_time draws by the closed inverse of Beta(alpha, 1); got beta={beta}")
    uniform_B = torch.rand(batch, generator=generator, device=None if generator is None else generator.device)
    return skewed_time(uniform_B, alpha=alpha, cutoff=cutoff)


def skewed_time(uniform_B: Tensor, *, alpha: float = 1.5, cutoff: float = 0.999) -> Tensor:
    """The flow times `(B,)` that `sample_time` makes of numbers drawn evenly from [0, 1)."""
    return cutoff * (1.0 - uniform_B ** (1.0 / alpha))


def interpolate(noise: Tensor, data: Tensor, t_B: Tensor) -> Tensor:
    """Point `x_t` on the straight path from noise (t = 0) to data (t = 1); `noise`, `data`: `(B, ...)`."""
    t = _expand(t_B, data)
    return (1.0 - t) * noise + t * data


def velocity_target(noise: Tensor, data: Tensor) -> Tensor:
    """Velocity of the straight path, the same at every time: `data - noise`."""
    return data - noise


def flow_loss(velocity: Tensor, noise: Tensor, data: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error to the target velocity. `mask` (broadcastable, 1 = counts) leaves padding out of the mean."""
    error = flow_error(velocity, noise, data)
    return error.mean() if mask is None else masked_mean(error, mask)


def flow_error(velocity: Tensor, noise: Tensor, data: Tensor) -> Tensor:
    """Squared error of each number of a velocity."""
    return (velocity - velocity_target(noise, data)).square()


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean where `mask` (broadcastable, 1 = counts) says so; 0 where it says so nowhere."""
    weight = mask.to(error.dtype).expand_as(error)
    return (error * weight).sum() / weight.sum().clamp(min=1.0)


def integrate(velocity: VelocityField, noise: Tensor, num_steps: int, solver: Solver = Solver.EULER) -> Tensor:
    """Carry `noise` `(B, ...)` along the field from t = 0 to t = 1 in `num_steps` equal steps.

    Raises:
        ValueError: for fewer than one step.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    step = _STEPS[solver]
    dt = 1.0 / num_steps
    x = noise
    for index in range(num_steps):
        t_B = torch.full((noise.shape[0],), index * dt, dtype=noise.dtype, device=noise.device)
        x = step(velocity, x, t_B, dt)
    return x


def evaluation_times(num_steps: int, solver: Solver = Solver.EULER, dtype: torch.dtype = torch.float32) -> Tensor:
    """Flow times `(E,)` at which `integrate` asks for the velocity, in its order: what can be made ready for them."""
    times: list[Tensor] = []

    def note(x: Tensor, t_B: Tensor) -> Tensor:
        times.append(t_B)
        return x

    integrate(note, torch.zeros(1, dtype=dtype), num_steps, solver)
    return torch.cat(times)


def _euler(velocity: VelocityField, x: Tensor, t_B: Tensor, dt: float) -> Tensor:
    return x + dt * velocity(x, t_B)


def _midpoint(velocity: VelocityField, x: Tensor, t_B: Tensor, dt: float) -> Tensor:
    halfway = x + 0.5 * dt * velocity(x, t_B)
    return x + dt * velocity(halfway, t_B + 0.5 * dt)


def _heun(velocity: VelocityField, x: Tensor, t_B: Tensor, dt: float) -> Tensor:
    first = velocity(x, t_B)
    second = velocity(x + dt * first, t_B + dt)
    return x + 0.5 * dt * (first + second)


_STEPS = {Solver.EULER: _euler, Solver.MIDPOINT: _midpoint, Solver.HEUN: _heun}


def _expand(t_B: Tensor, like: Tensor) -> Tensor:
    return t_B.reshape(-1, *([1] * (like.ndim - 1)))
