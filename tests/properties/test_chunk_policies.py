"""Every registered chunk policy: nothing is used twice, nothing invented, and where it promises so, no seam."""

import inspect
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys import registry
from dualsys.chunk_policies import CrossFade, Placed, TemporalEnsemble, build_policy
from dualsys.chunking import moved_on, rows_from, target_at
from dualsys.messages import ActionChunk, ActionPrefix
from dualsys.playhead import Playhead
from dualsys.protocols import ChunkPolicy

ALIGNED = sorted(set(registry.names("chunk_policies")) - {"naive"})
GUIDED = sorted(name for name in ALIGNED if build_policy(name).guidance is not None)
GAPS_S = st.lists(st.floats(0.0005, 0.03), min_size=2, max_size=60)


def test_each_policy_has_a_drawing_of_its_own_with_old_and_new_rows() -> None:
    drawn = {name: inspect.getdoc(registry.load("chunk_policies", name)) or "" for name in ("naive", *ALIGNED)}
    assert len(set(drawn.values())) == len(drawn)
    for name, words in drawn.items():
        assert re.search(r"^ *new ", words, re.MULTILINE), name
    for name in GUIDED:
        assert {"skipped", "arrival"} & set(drawn[name].split()), name
        assert {"arXiv", "GR00T"} & set(re.findall(r"\w+", drawn[name])), name


@given(st.integers(1, 10), st.floats(0, 12), st.integers(0, 2**32 - 1))
def test_rows_from_a_position_are_the_targets_there(horizon: int, position: float, seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 2))
    found = rows_from(rows, position)
    places = [position + i for i in range(horizon + 1) if position + i <= horizon - 1 + 1e-6]
    assert len(found) == len(places)
    for row, place in zip(found, places, strict=True):
        np.testing.assert_allclose(row, target_at(rows, place), atol=1e-5)


@given(length=st.integers(1, 12), rows=st.floats(-4, 14), seed=st.integers(0, 100))
def test_a_prefix_moved_on_is_what_runs_at_its_new_moment(length: int, rows: float, seed: int) -> None:
    """Row k of it is the target k rows after that moment; before its beginning, the first row."""
    before = ActionPrefix(
        rows=np.random.default_rng(seed).normal(size=(length, 2)), inference_delay=3, guidance="identity"
    )
    after = moved_on(before, rows)
    if after is None:
        assert rows > length - 1
        return
    assert after.inference_delay == 3
    expected = [target_at(before.rows, rows + row) for row in range(len(after.rows))]
    np.testing.assert_allclose(after.rows, expected, atol=1e-4)
    assert length - 1 - 1.0001 <= rows + len(after.rows) - 1 <= length - 1 + 1e-4


@pytest.mark.parametrize("name", ALIGNED)
@settings(max_examples=60)
@given(gaps_s=GAPS_S, data=st.data())
def test_chunks_of_one_motion_are_spliced_without_a_seam(name: str, gaps_s: list[float], data: st.DataObject) -> None:
    """All chunks are pieces of the motion `x = played time`: however often and late new ones come and however long it
    is held, that motion is played, no row twice, none left out, none that no chunk has.
    """
    head, policy, dt_s = Playhead(0.0), build_policy(name), 0.01
    now_s, played_s = 0.0, 0.0
    observed: list[tuple[float, float]] = [(0.0, 0.0)]
    head.swap(_ramp(0.0, 0.0, dt_s), policy)
    for gap_s in gaps_s:
        now_s += gap_s
        held = data.draw(st.booleans()) and data.draw(st.booleans())
        head.advance(now_s, 0.0 if held else gap_s)
        played_s += 0.0 if held else gap_s
        observed.append((now_s, played_s))
        if data.draw(st.booleans()):
            stamp_s, at = data.draw(st.sampled_from(observed[-30:]))
            assert head.swap(_ramp(stamp_s, at, dt_s), policy) is None
            assert head.seam == pytest.approx(0.0, abs=1e-9)
        assert head.target()[0] == pytest.approx(played_s, abs=1e-9)


@pytest.mark.parametrize("name", ALIGNED)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_chunk_that_is_not_late_is_played_from_its_first_row(name: str, seed: int) -> None:
    """At zero delay every policy is naive, but for the ensemble, which asks older chunks in any case."""
    rng = np.random.default_rng(seed)
    heads = [Playhead(0.0), Playhead(0.0)]
    policies: list[ChunkPolicy] = [build_policy("naive"), build_policy(name)]
    for index in range(6):
        chunk = ActionChunk(rows=rng.uniform(-1, 1, (40, 2)), dt_s=0.01, start_stamp_s=index * 0.05)
        for head, policy in zip(heads, policies, strict=True):
            head.advance(index * 0.05, 0.05 if index else 0.0)
            head.swap(chunk, policy)
        assert heads[0].row == heads[1].row == 0.0
        if name != "temporal-ensemble":
            assert np.array_equal(heads[0].target(), heads[1].target())


@settings(max_examples=200)
@given(st.floats(0.1, 9.0), st.floats(0.0, 19.0), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_cross_fade_has_no_seam_and_ends_in_the_new_rows(
    consumed: float, playing_row: float, fade: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    old, new = rng.uniform(-1, 1, (2, 24, 3))
    policy = CrossFade(rows=fade)
    joined = policy.join(Placed(rows=new, row=consumed), Placed(rows=old, row=playing_row), ())
    # One row before the first of the old chunk there is nothing: its own first row stands there.
    known = playing_row >= 1.0 or math.floor(consumed) == 0
    if known and playing_row == math.floor(playing_row) + (consumed - math.floor(consumed)):
        np.testing.assert_allclose(target_at(joined, consumed), target_at(old, playing_row), atol=1e-9)
    last = math.ceil(consumed) + 1 + fade
    np.testing.assert_array_equal(joined[last:], new[last:])
    rows = np.stack([target_at(joined, float(place)) for place in np.arange(consumed, 23.0, 0.1)])
    assert np.abs(rows).max() <= 1.0 + 1e-12  # between old and new everywhere


@settings(max_examples=100)
@given(GAPS_S, st.integers(0, 2**32 - 1))
def test_however_chunks_differ_a_cross_fade_begins_where_the_motion_is(gaps_s: list[float], seed: int) -> None:
    """Chunks that have nothing to do with each other, at ticks on the rows: no jump at any seam."""
    rng = np.random.default_rng(seed)
    head, policy, now_s = Playhead(0.0), CrossFade(), 0.0
    head.swap(ActionChunk(rows=rng.uniform(-1, 1, (30, 2)), dt_s=0.01, start_stamp_s=0.0), policy)
    for gap_s in gaps_s:
        ticks = 1 + int(gap_s / 0.01)
        start_s = now_s
        for _ in range(ticks):
            now_s += 0.01
            head.advance(now_s, 0.01)
        before = head.target()
        chunk = ActionChunk(rows=rng.uniform(-1, 1, (30, 2)), dt_s=0.01, start_stamp_s=start_s)
        if head.swap(chunk, policy) is None:
            np.testing.assert_allclose(head.target(), before, atol=1e-6)
            assert head.seam <= 1e-6


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 9)), min_size=1, max_size=6), st.floats(0.0, 0.9))
def test_an_ensemble_is_the_weighted_mean_of_what_reaches_so_far(chunks: list[tuple[float, int]], m: float) -> None:
    """Constant chunks, so that each row's mean can be written down: weights exp(-m i), the oldest first."""
    placed = [Placed(rows=np.full((10, 1), value), row=float(row)) for value, row in chunks]
    arrived = Placed(rows=np.full((10, 1), 0.5), row=2.0)
    joined = TemporalEnsemble(m=m).join(arrived, placed[-1], placed)
    for row in range(2, 10):
        known = [(i, p.rows[0, 0]) for i, p in enumerate(placed) if p.row + row - 2 <= 9] + [(len(placed), 0.5)]
        total = sum(math.exp(-m * i) * value for i, value in known)
        assert joined[row, 0] == pytest.approx(total / sum(math.exp(-m * i) for i, _ in known), abs=1e-12)


def _ramp(stamp_s: float, value: float, dt_s: float) -> ActionChunk:
    rows = value + dt_s * np.arange(300, dtype=np.float64)[:, None]
    return ActionChunk(rows=rows, dt_s=dt_s, start_stamp_s=stamp_s)
