"""Normalisation by kind: closed forms, round trips, bounds, still dimensions, and statistics of a dataset's own."""

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from dualsys.actor.normalization import MIN_DEVIATION, Kind, Statistics
from dualsys.data.summaries import column_statistics
from dualsys.errors import DatasetError
from dualsys.messages import FloatArray

KINDS: tuple[Kind, ...] = get_args(Kind)
VALUES = arrays(np.float64, (20, 3), elements=st.floats(-50, 50))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(values=VALUES, others=VALUES)
def test_what_goes_in_comes_back_seen_or_not(kind: Kind, values: FloatArray, others: FloatArray) -> None:
    statistics = Statistics.of(values, kind)
    there = statistics.normalize(others)
    np.testing.assert_allclose(statistics.denormalize(there), others, atol=1e-9)


@settings(max_examples=60)
@given(values=VALUES)
def test_bounds(values: FloatArray) -> None:
    assert np.abs(Statistics.of(values, "min-max").normalize(values)).max() <= 1 + 1e-9
    inside = np.abs(Statistics.of(values, "quantiles").normalize(values)) <= 1 + 1e-9
    assert np.all(inside.mean(axis=0) >= 0.9)  # 18 of 20: one beyond each quantile at most


def test_closed_forms() -> None:
    values = np.random.default_rng(0).normal(2.0, 3.0, (1000, 2))
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    expected: dict[Kind, Any] = {
        "mean-std": (values - values.mean(axis=0)) / values.std(axis=0),
        "min-max": 2 * (values - values.min(axis=0)) / np.ptp(values, axis=0) - 1,
        "quantiles": (values - low) / (high - low + 1e-6) * 2 - 1,  # as openpi writes it
        "identity": values,
    }
    for kind, wanted in expected.items():
        np.testing.assert_allclose(Statistics.of(values, kind).normalize(values), wanted, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_clipped_is_kept_within_one_both_ways(kind: Kind) -> None:
    plain = Statistics.of(np.random.default_rng(2).normal(1.0, 3.0, (200, 2)), kind)
    assert plain.clip == ()
    first = Statistics.model_validate_json(plain.model_copy(update={"clip": (True, False)}).model_dump_json())
    values, normalized = np.array([[90.0, 90.0], [-90.0, -90.0]]), np.array([[3.0, 3.0], [-3.0, -3.0], [0.5, 0.5]])
    np.testing.assert_array_equal(first.normalize(values)[:, 0], [1.0, -1.0])
    np.testing.assert_array_equal(first.normalize(values)[:, 1], plain.normalize(values)[:, 1])
    np.testing.assert_array_equal(
        first.denormalize(normalized), plain.denormalize(normalized * [[1 / 3, 1], [1 / 3, 1], [1, 1]])
    )


def test_statistics_of_before_clipping_are_read_and_half_told_clips_are_not() -> None:
    assert Statistics.model_validate({"mean": [0.0], "std": [1.0]}).clip == ()
    with pytest.raises(ValidationError, match="clip has 1 entries, mean 2"):
        Statistics(mean=(0.0, 0.0), std=(1.0, 1.0), clip=(True,))


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_dimension_stays_small_and_comes_back(kind: Kind) -> None:
    values = np.full((50, 1), 0.7)
    statistics = Statistics.of(values, kind)
    there = statistics.normalize(values + 0.5 * MIN_DEVIATION)
    assert np.abs(there).max() <= 0.7 + MIN_DEVIATION
    np.testing.assert_allclose(statistics.denormalize(there), values + 0.5 * MIN_DEVIATION, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_s_own_statistics_give_the_same(kind: Kind) -> None:
    values = np.random.default_rng(1).normal(size=(200, 3))
    stored = json.loads(json.dumps({name: value.tolist() for name, value in column_statistics(values).items()}))
    found, made = Statistics.of_summary(stored, kind), Statistics.of(values, kind)
    np.testing.assert_allclose(found.normalize(values), made.normalize(values), atol=1e-12)


def test_statistics_without_quantiles_say_so() -> None:
    with pytest.raises(DatasetError, match=r"'quantiles' needs q01, q99 .* mean, std"):
        Statistics.of_summary({"mean": [0.0], "std": [1.0]}, "quantiles")


def test_what_a_checkpoint_keeps_comes_back_and_old_ones_are_read() -> None:
    for kind in KINDS:
        made = Statistics.of(np.random.default_rng(2).normal(size=(30, 2)), kind)
        assert Statistics.model_validate_json(made.model_dump_json()) == made
    assert Statistics.model_validate({"mean": [0.0], "std": [1.0]}).kind == "mean-std"


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "min-max"}, {"kind": "min-max", "low": [1.0], "high": [1.0]}, {"low": [0.0], "high": [1.0]}],
    ids=["no ends", "no range", "ends of nothing"],
)
def test_ends_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="low"):
        Statistics.model_validate({"mean": [0.0], "std": [1.0]} | wrong)
