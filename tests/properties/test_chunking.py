"""Playing chunks: nothing is used twice, nothing is invented, motion that goes on goes on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from dualsys.chunk_policies import Naive, SkipByDelay
from dualsys.chunking import target_at
from dualsys.messages import ActionChunk
from dualsys.playhead import Playhead
from dualsys.protocols import ChunkPolicy

GAPS_S = st.lists(st.floats(0.0005, 0.03), min_size=2, max_size=60)


@given(st.integers(1, 10), st.floats(-2, 12), st.integers(0, 2**32 - 1))
def test_a_target_lies_between_its_neighbours(horizon: int, position: float, seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 2))
    target = target_at(rows, position)
    at = min(max(position, 0.0), horizon - 1.0)
    pair = rows[[int(np.floor(at)), int(np.ceil(at))]]
    assert np.all(target >= pair.min(axis=0) - 1e-12)
    assert np.all(target <= pair.max(axis=0) + 1e-12)


@given(st.integers(2, 10), st.floats(0, 8.99), st.integers(0, 2**32 - 1))
def test_targets_are_continuous(horizon: int, position: float, seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 1))
    steepest = np.abs(np.diff(rows, axis=0)).max()
    step = 1e-3
    moved = np.abs(target_at(rows, position + step) - target_at(rows, position))
    # Between two rows the cubic is at most half as steep again as the steepest straight line: 3/2 d - (m0 + m1) / 4.
    assert np.all(moved <= 1.5 * steepest * step + 1e-12)


@given(st.integers(4, 12), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_away_from_the_ends_the_curve_is_the_one_scipy_draws(horizon: int, share: float, seed: int) -> None:
    """An independent implementation of the same cubic; only its slopes at the first and last row differ."""
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 2))
    position = 1.0 + share * (horizon - 3)
    expected = PchipInterpolator(np.arange(horizon), rows)(position)
    np.testing.assert_allclose(target_at(rows, position), expected, atol=1e-9)


@given(st.integers(3, 10), st.integers(0, 2**32 - 1))
def test_the_velocity_is_continuous_at_every_row(horizon: int, seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 3))
    step = 1e-6
    for row in range(1, horizon - 1):
        before = (target_at(rows, float(row)) - target_at(rows, row - step)) / step
        after = (target_at(rows, row + step) - target_at(rows, float(row))) / step
        np.testing.assert_allclose(before, after, atol=2e-4)


@given(st.integers(2, 9), st.integers(2, 10), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_rows_are_met_exactly_and_straight_motion_stays_straight(
    row: int, horizon: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-1, 1, (horizon, 2))
    row = min(row, horizon - 1)
    assert np.array_equal(target_at(rows, float(row)), rows[row])
    ramp = np.arange(horizon)[:, None] * rng.uniform(-1, 1, 2)
    position = share * (horizon - 1)
    np.testing.assert_allclose(target_at(ramp, position), ramp[1] * position, atol=1e-12)


def test_the_acceleration_of_a_sampled_parabola_is_its_own() -> None:
    """Straight lines would give each row's tick the whole change of velocity: ten times as much at ten ticks."""
    rows = np.array([[row**2] for row in range(6, 14)], dtype=np.float64)
    positions = np.arange(2.0, 5.0, 0.1)
    played = np.array([target_at(rows, float(position))[0] for position in positions])
    accelerations = np.diff(played, 2) / 0.1**2
    assert accelerations.max() < 1.5 * 2.0
    assert accelerations.min() > 0.5 * 2.0


@settings(max_examples=100)
@given(GAPS_S, st.data())
def test_chunks_of_one_motion_are_spliced_without_a_seam(gaps_s: list[float], data: st.DataObject) -> None:
    """All chunks are pieces of the motion `x = played time`. Skipping what was consumed, however often and late new
    chunks come and however long the motion is held, gives back that motion: no row twice, none left out.
    """
    head, policy, dt_s = Playhead(0.0), SkipByDelay(), 0.01
    now_s, played_s, horizon = 0.0, 0.0, 300
    observed: list[tuple[float, float]] = [(0.0, 0.0)]
    head.swap(_ramp(0.0, 0.0, horizon, dt_s), policy)
    for gap_s in gaps_s:
        now_s += gap_s
        held = data.draw(st.booleans()) and data.draw(st.booleans())
        head.advance(now_s, 0.0 if held else gap_s)
        played_s += 0.0 if held else gap_s
        observed.append((now_s, played_s))
        if data.draw(st.booleans()):
            stamp_s, at = data.draw(st.sampled_from(observed[-30:]))
            assert head.swap(_ramp(stamp_s, at, horizon, dt_s), policy) is None
        assert head.target()[0] == pytest.approx(played_s, abs=1e-9)


def _ramp(stamp_s: float, value: float, horizon: int, dt_s: float) -> ActionChunk:
    return ActionChunk(
        rows=value + dt_s * np.arange(horizon, dtype=np.float64)[:, None], dt_s=dt_s, start_stamp_s=stamp_s
    )


@settings(max_examples=50)
@given(GAPS_S, st.integers(0, 2**32 - 1))
def test_without_delay_skipping_is_naive(gaps_s: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = [Playhead(0.0), Playhead(0.0)]
    policies: list[ChunkPolicy] = [Naive(), SkipByDelay()]
    now_s = 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        chunk = ActionChunk(rows=rng.uniform(-1, 1, (4, 2)), dt_s=0.01, start_stamp_s=now_s)
        for head, policy in zip(heads, policies, strict=True):
            head.advance(now_s, gap_s)
            head.swap(chunk, policy)
        assert heads[0].row == heads[1].row == 0.0
        assert np.array_equal(heads[0].target(), heads[1].target())


@settings(max_examples=50)
@given(GAPS_S)
def test_the_position_only_goes_forward_and_never_past_the_last_row(gaps_s: list[float]) -> None:
    head = Playhead(0.0)
    head.swap(_ramp(0.0, 0.0, 10, 0.02), Naive())
    rows, now_s = [head.row], 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        head.advance(now_s, gap_s)
        rows.append(head.row)
        assert head.starved == (now_s / 0.02 > 9 + 1e-6)
    assert all(before <= after <= 9.0 for before, after in pairwise(rows))


def test_a_long_run_of_steady_play_is_remembered_whole() -> None:
    """Only changes between moving and holding are kept: an hour of ticks at 500 Hz needs a few of them."""
    head, now_s = Playhead(0.0), 0.0
    for _ in range(600):
        head.swap(_ramp(now_s, 0.0, 400, 0.02), Naive())
        for _ in range(30):
            now_s += 0.002
            head.advance(now_s, 0.002)
    assert head.consumed_rows(_ramp(1.0, 0.0, 4, 0.02)) == pytest.approx((now_s - 1.0) / 0.02)
