"""Diffusion against closed forms: on a Gaussian the best network is known, and so is where each noise ends."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dualsys.actor.diffusion import (
    Prediction,
    believed_data,
    implied_noise,
    kept_shares,
    noised,
    step_back,
    target,
    visited_levels,
    within,
)

MEAN, DEVIATION = 0.7, 0.3
LEVELS = 1000
SCHEDULES = ["squaredcos_cap_v2", "linear", "scaled_linear"]
PREDICTIONS: list[Prediction] = ["epsilon", "sample", "v_prediction"]


def best_data(x: Tensor, kept: float) -> Tensor:
    """Expected data of `x`, where data are normal: the posterior's mean."""
    variance = kept * DEVIATION**2 + 1 - kept
    data: Tensor = MEAN + kept**0.5 * DEVIATION**2 / variance * (x - kept**0.5 * MEAN)
    return data


def told(prediction: Prediction, x: Tensor, kept: float) -> Tensor:
    """What the best network tells."""
    data = best_data(x, kept)
    noise = (x - kept**0.5 * data) / (1 - kept) ** 0.5
    return target(prediction, data, noise, torch.full((len(x),), kept))


def sampled(noise: Tensor, schedule: str, prediction: Prediction, eta: float, steps: int) -> Tensor:
    bar = kept_shares(schedule, LEVELS)
    levels = visited_levels(LEVELS, steps)
    generator = torch.Generator().manual_seed(0)
    x = noise
    for level, lower in zip(levels, [*levels[1:], -1], strict=True):
        kept, kept_next = float(bar[level]), float(bar[lower]) if lower >= 0 else 1.0
        data, left = within(x, believed_data(prediction, x, told(prediction, x, kept), kept), kept, None, eta)
        x = step_back(data, left, kept, kept_next, eta, torch.randn(x.shape, generator=generator))
    return x


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_without_fresh_noise_a_sample_goes_where_its_quantile_is(prediction: Prediction) -> None:
    noise = torch.linspace(-2, 2, 9)
    # The flow of a Gaussian keeps quantiles; the first level visited still has a trace of the data.
    rows = sampled(noise, "squaredcos_cap_v2", prediction, 0.0, 500)
    torch.testing.assert_close(rows, MEAN + DEVIATION * noise, rtol=0, atol=0.02)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_have_the_data_s_mean_and_deviation(eta: float) -> None:
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    rows = sampled(noise, "squaredcos_cap_v2", "epsilon", eta, 250)
    assert float(rows.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(rows.std()) == pytest.approx(DEVIATION, rel=0.03)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_keep_less_and_less(schedule: str) -> None:
    kept = kept_shares(schedule, LEVELS)
    assert kept.shape == (LEVELS,)
    assert bool((kept[1:] < kept[:-1]).all())
    assert float(kept[0]) > 0.999
    assert 0 < float(kept[-1]) < 0.05


def test_the_schedule_is_diffusers() -> None:
    """As in its `DDPMScheduler`: betas by the paper's formula, or even."""
    edges = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - edges[1:] / edges[:-1], 0.999)
    np.testing.assert_allclose(kept_shares("squaredcos_cap_v2", 100).numpy(), np.cumprod(1 - betas), rtol=1e-12)
    np.testing.assert_allclose(
        kept_shares("linear", 100).numpy(), np.cumprod(1 - np.linspace(1e-4, 0.02, 100)), rtol=1e-12
    )


@settings(max_examples=60)
@given(st.integers(2, 200), st.integers(1, 200))
def test_levels_go_down_to_the_data(levels: int, steps: int) -> None:
    steps = min(steps, levels)
    visited = visited_levels(levels, steps)
    assert len(visited) == steps
    assert visited[-1] == 0
    assert all(a > b for a, b in pairwise(visited))
    assert visited[0] < levels


@settings(max_examples=60)
@given(st.sampled_from(PREDICTIONS), st.floats(0.02, 0.98), st.integers(0, 2**31 - 1))
def test_what_the_network_is_to_tell_gives_back_the_data(prediction: Prediction, kept: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    data, noise = (torch.randn(3, 4, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    kept_B = torch.full((3,), kept, dtype=torch.float64)
    x = noised(data, noise, kept_B)
    found = believed_data(prediction, x, target(prediction, data, noise, kept_B), kept)
    torch.testing.assert_close(found, data, rtol=0, atol=1e-9)
    torch.testing.assert_close(implied_noise(x, found, kept), noise, rtol=0, atol=1e-7)
    torch.testing.assert_close(step_back(found, noise, kept, 1.0, 0.0, None), found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_a_clipped_step_of_ddim_keeps_the_noise_that_was_told(prediction: Prediction, eta: float) -> None:
    """diffusers' `DDIMScheduler.step`: data of 3 are believed to be 1, and the noise of -0.5 stays."""
    kept, kept_next = 0.64, 0.81
    data, noise, fresh = (torch.full((1,), value, dtype=torch.float64) for value in (3.0, -0.5, 0.25))
    x = 0.8 * data + 0.6 * noise
    believed = believed_data(prediction, x, target(prediction, data, noise, torch.full((1,), kept)), kept)
    found = step_back(*within(x, believed, kept, 1.0, eta), kept, kept_next, eta, fresh)
    variance = eta**2 * 0.19 / 0.36 * (1 - 0.64 / 0.81)
    assert float(found) == pytest.approx(0.9 * 1.0 - 0.5 * (0.19 - variance) ** 0.5 + 0.25 * variance**0.5, abs=1e-6)


def test_a_clipped_step_of_ddpm_has_the_posterior_s_mean() -> None:
    """diffusers' `DDPMScheduler.step`, by the DDPM paper's equation 7: a sum of `x` and the clipped data."""
    kept, kept_next = 0.64, 0.81
    x, data = torch.full((1,), 2.1, dtype=torch.float64), torch.full((1,), 3.0, dtype=torch.float64)
    found = step_back(*within(x, data, kept, 1.0, 1.0), kept, kept_next, 1.0, None)
    step = kept / kept_next
    mean = 0.9 * (1 - step) / 0.36 * 1.0 + step**0.5 * 0.19 / 0.36 * 2.1
    assert float(found) == pytest.approx(mean, abs=1e-12)
