"""Oracles for the flow: closed-form moments, end points, and the order of each integrator."""

import math

import numpy as np
import pytest
import torch

from dualsys.actor.flow_matching import Solver, flow_loss, integrate, interpolate, sample_time, velocity_target


@pytest.mark.parametrize("alpha", [1.0, 1.5, 3.0])
def test_time_has_the_moments_of_its_distribution(alpha: float) -> None:
    cutoff, count = 0.999, 200_000
    t_B = sample_time(count, alpha=alpha, cutoff=cutoff, generator=torch.Generator().manual_seed(0)).double()
    mean = cutoff * (1 - alpha / (alpha + 1))
    variance = cutoff**2 * alpha / ((alpha + 1) ** 2 * (alpha + 2))
    assert abs(float(t_B.mean()) - mean) < 4 * math.sqrt(variance / count)
    assert float(t_B.var()) == pytest.approx(variance, rel=0.02)
    assert float(t_B.min()) >= 0.0
    assert float(t_B.max()) <= cutoff


def test_time_leans_towards_noise() -> None:
    t_B = sample_time(50_000, generator=torch.Generator().manual_seed(1))
    assert float((t_B < 0.5).float().mean()) > 0.6


def test_time_refuses_a_distribution_without_a_closed_inverse() -> None:
    with pytest.raises(ValueError, match="beta=2"):
        sample_time(4, beta=2.0)


def test_path_starts_at_noise_and_ends_at_data() -> None:
    noise, data = torch.randn(5, 3, 2), torch.randn(5, 3, 2)
    assert torch.equal(interpolate(noise, data, torch.zeros(5)), noise)
    assert torch.equal(interpolate(noise, data, torch.ones(5)), data)


def test_target_is_the_derivative_of_the_path() -> None:
    noise, data = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    t_B, h = torch.rand(4, dtype=torch.float64) * 0.9, 1e-6
    slope = (interpolate(noise, data, t_B + h) - interpolate(noise, data, t_B - h)) / (2 * h)
    torch.testing.assert_close(slope, velocity_target(noise, data), rtol=0, atol=1e-8)


@pytest.mark.parametrize("solver", list(Solver))
@pytest.mark.parametrize("steps", [1, 4, 10])
def test_the_true_velocity_carries_noise_to_data(solver: Solver, steps: int) -> None:
    noise, data = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    arrived = integrate(lambda _x, _t: velocity_target(noise, data), noise, steps, solver)
    torch.testing.assert_close(arrived, data, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solver", "order"), [(Solver.EULER, 1), (Solver.MIDPOINT, 2), (Solver.HEUN, 2)])
def test_error_falls_with_the_order_of_the_solver(solver: Solver, order: int) -> None:
    start = torch.ones(1, 1, dtype=torch.float64)
    exact = math.exp(math.sin(1.0) - 2.0)  # of x' = x (cos t - 2)
    steps = np.array([16, 32, 64, 128])
    errors = [
        abs(float(integrate(lambda x, t: x * (torch.cos(t)[:, None] - 2.0), start, int(n), solver)) - exact)
        for n in steps
    ]
    slope = np.polyfit(np.log(1.0 / steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.15)


def test_a_gaussian_flows_to_a_gaussian() -> None:
    """Closed form: from N(0, 1) to N(m, s^2) the marginal velocity is linear in x."""
    mean, deviation = 1.7, 0.4

    def velocity(x: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        t = t_B[:, None]
        variance = (1 - t) ** 2 + (t * deviation) ** 2
        slope = (t * deviation**2 - (1 - t)) / variance
        return mean + slope * (x - t * mean)

    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    arrived = integrate(velocity, noise, 50, Solver.HEUN)
    assert float(arrived.mean()) == pytest.approx(mean, abs=0.02)
    assert float(arrived.std()) == pytest.approx(deviation, abs=0.02)


def test_masked_rows_do_not_change_the_loss() -> None:
    velocity, noise, data = torch.randn(3, 2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)[..., None]
    loss = flow_loss(velocity, noise, data, mask)
    wild = torch.where(mask, data, data * 1000.0)
    torch.testing.assert_close(flow_loss(velocity, noise, wild, mask), loss)
    kept = (velocity - (data - noise)).square()[mask[..., 0]].mean()
    torch.testing.assert_close(loss, kept)


def test_fewer_than_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        integrate(lambda x, _t: x, torch.zeros(1, 1), 0)
