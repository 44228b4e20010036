"""Smoothing against scipy's filter, and against what it must leave alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from dualsys.actor.smoothing import smoothing_matrix


@given(st.sampled_from([3, 5, 7, 9]), st.integers(9, 40), st.integers(0, 2**32 - 1))
def test_it_is_the_filter_of_savitzky_and_golay(window: int, horizon: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(horizon, 3))
    expected = savgol_filter(rows, window, 2, axis=0, mode="interp")
    np.testing.assert_allclose(smoothing_matrix(horizon, window) @ rows, expected, atol=1e-9)


def test_a_parabola_passes_unchanged_and_noise_loses_most_of_its_acceleration() -> None:
    matrix = smoothing_matrix(32, 7)
    motion = (np.arange(32.0) - 10)[:, None] ** 2
    np.testing.assert_allclose(matrix @ motion, motion, atol=1e-9)
    noise = np.random.default_rng(0).normal(size=(32, 500))
    before, after = np.diff(noise, 2, axis=0).std(), np.diff(matrix @ noise, 2, axis=0).std()
    assert after < 0.25 * before


@pytest.mark.parametrize("window", [0, 1, 4, 33])
def test_windows_that_fit_no_parabola_are_refused(window: int) -> None:
    with pytest.raises(ValueError, match="odd, above 2"):
        smoothing_matrix(32, window)
