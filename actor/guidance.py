"""Guided sampling: a chunk that continues the rows which run while it is computed.

    row        0    1    2    3    4    5    6    7    8    ..
    runs       o    o    o    o    o    o    o                      told: seven rows, four of them consumed meanwhile
    weight     1    1    1    1    .53  .21  .05  0    0            frozen, then falling, then free

Real-time chunking (Black et al., arXiv 2506.07339, equations 2 to 5) adds to the velocity `v` a pull of the clean chunk
that it leads to, `x1 = x + (1 - t) v`, towards the rows `y`:

    v + min(beta, (t^2 + (1 - t)^2) / (t (1 - t))) * J^T (w * (y - x1))

with `J = d x1 / d x`, or the identity in its place, which needs no gradient and is what LeRobot does. GR00T N1.7 puts
the rows in place of the noise instead, and scales the velocity by 0 where they are frozen and by
`(1 - exp(-6 s)) / (1 - exp(-6))` where they are let go. An actor that has learned to continue given rows (arXiv
2512.05964) needs neither.

Flow time runs from noise at 0 to data at 1. Shape legend: B batch, A action rows, U actions.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from dualsys.actor.experts import FlowExpert
from dualsys.actor.flow_matching import Solver, VelocityField, integrate
from dualsys.actor.sampling import time_conditions
from dualsys.messages import Guidance

MAX_PULL = 5.0
"""`beta`: more only oscillates in few flow steps (the paper's value, for five of them)."""
RAMP_RATE = 6.0
"""How fast GR00T N1.7 lets go."""


class Running(NamedTuple):
    """Rows that run meanwhile, normalised, with the last one repeated up to the horizon."""

    rows_BAU: Tensor
    told: int
    """How many there are."""
    delay: int
    """How many of them will have been consumed."""


class Now(NamedTuple):
    """What changes with every chunk, as a batch on the expert's device; see `dualsys.actor.sampling.Moment`."""

    noise_BAU: Tensor
    state_BX: Tensor
    age_B: Tensor
    image_BCHW: Tensor | None


def soft_weights(horizon: int, running: Running) -> Tensor:
    """How firmly each row is held, `(A,)`: 1 up to the delay, falling exponentially to 0 behind the last of the rows.

    With `c` falling in a straight line from 1 to 0, `c (exp(c) - 1) / (e - 1)` (equation 5).
    """
    index_A = torch.arange(horizon, dtype=torch.float32)
    frozen, end = min(running.delay, running.told), running.told
    line_A = ((end - index_A) / (end - frozen + 1)).clamp(0.0, 1.0)
    soft_A = line_A * torch.expm1(line_A) / torch.expm1(torch.ones(()))
    return torch.where(index_A < frozen, torch.ones(()), soft_A)


def pulled(velocity: VelocityField, running: Running, *, jacobian: bool) -> VelocityField:
    """The field with real-time chunking's pull."""
    rows_BAU = running.rows_BAU
    weights_A1 = soft_weights(rows_BAU.shape[1], running).to(rows_BAU.device)[:, None]

    def field(x_BAU: Tensor, t_B: Tensor) -> Tensor:
        t_B11 = rearrange(t_B, "b -> b 1 1")
        if not jacobian:
            v_BAU = velocity(x_BAU, t_B)
            pull_BAU = weights_A1 * (rows_BAU - (x_BAU + (1.0 - t_B11) * v_BAU))
            return v_BAU + _strength(t_B11) * pull_BAU
        with torch.enable_grad():
            start_BAU = x_BAU.detach().requires_grad_(True)
            v_BAU = velocity(start_BAU, t_B)
            clean_BAU = start_BAU + (1.0 - t_B11) * v_BAU
            error_BAU = (weights_A1 * (rows_BAU - clean_BAU)).detach()
            (pull_BAU,) = torch.autograd.grad(clean_BAU, start_BAU, error_BAU)
        return v_BAU.detach() + _strength(t_B11) * pull_BAU

    return field


def _strength(t_B11: Tensor) -> Tensor:
    spread = t_B11 * (1.0 - t_B11)
    return ((t_B11.square() + (1.0 - t_B11).square()) / spread.clamp(min=1e-6)).clamp(max=MAX_PULL)


def released(velocity: VelocityField, running: Running, *, rate: float = RAMP_RATE) -> VelocityField:
    """The field scaled row by row: 0 for those that are consumed meanwhile, rising to 1 behind those told."""
    horizon = running.rows_BAU.shape[1]
    frozen, end = min(running.delay, running.told), running.told
    share_A = ((torch.arange(horizon) - frozen + 1) / (end - frozen + 1)).clamp(0.0, 1.0)
    full = torch.expm1(torch.tensor(-rate))
    strength_A = torch.where(torch.arange(horizon) < end, torch.expm1(-rate * share_A) / full, torch.ones(()))
    strength_A = torch.where(torch.arange(horizon) < frozen, torch.zeros(()), strength_A)
    strength_A1 = strength_A[:, None].to(running.rows_BAU.device)
    return lambda x_BAU, t_B: strength_A1 * velocity(x_BAU, t_B)


def given(velocity: VelocityField, running: Running, prefix_A: Tensor) -> VelocityField:
    """The field of an actor that has learned to continue rows: they are put in as they are, and stay."""
    given_A1 = prefix_A[:, None]

    def field(x_BAU: Tensor, t_B: Tensor) -> Tensor:
        v_BAU = velocity(torch.where(given_A1, running.rows_BAU, x_BAU), t_B)
        return torch.where(given_A1, torch.zeros_like(v_BAU), v_BAU)

    return field


def seeded(noise_BAU: Tensor, running: Running) -> Tensor:
    """Noise with the rows in its place where there are any."""
    told_A1 = (torch.arange(noise_BAU.shape[1]) < running.told)[:, None].to(noise_BAU.device)
    return torch.where(told_A1, running.rows_BAU, noise_BAU)


@torch.no_grad()  # not inference mode: the Jacobian is taken in here
def sample_guided(expert: FlowExpert, memory: Any, now: Now, running: Running, guidance: Guidance) -> Tensor:
    """Normalised rows `(B, A, U)` that continue running ones. Raises `ValueError` for `roll-forward`.

    Args:
        expert: Whose field is followed.
        memory: Of the subgoal, as `expert.remember` makes it; not of inference mode, where the Jacobian is taken.
        now: Noise, state, age of the subgoal, image: normalised.
        running: What to continue.
        guidance: How.
    """
    config, noise_BAU = expert.config, now.noise_BAU
    begun = expert.begin(memory, now.state_BX, now.age_B, now.image_BCHW)
    turn = iter(time_conditions(expert))

    def field(x_BAU: Tensor, t_B: Tensor, prefix_BA: Tensor | None = None) -> Tensor:
        del t_B  # known from the order of the calls, of which each solver makes as many as evaluation times
        return expert.step(x_BAU, next(turn), begun, prefix_BA)

    start_BAU = noise_BAU
    guided: VelocityField = field
    match guidance:
        case "identity" | "jacobian":
            guided = pulled(field, running, jacobian=guidance == "jacobian")
        case "freeze-and-ramp":
            guided, start_BAU = released(field, running), seeded(noise_BAU, running)
        case "trained-prefix":
            count = min(running.delay, running.told, config.max_prefix)
            prefix_A = (torch.arange(config.horizon) < count).to(noise_BAU.device)
            guided = given(partial(field, prefix_BA=prefix_A[None]), running, prefix_A)
            start_BAU = torch.where(prefix_A[:, None], running.rows_BAU, noise_BAU)
        case _:
            raise ValueError(f"guidance {guidance!r} is not of the flow")
    return integrate(guided, start_BAU, config.num_inference_steps, Solver(config.solver))
