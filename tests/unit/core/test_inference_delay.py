import numpy as np
import pytest

from dualsys.chunk_policies import Continuing, SkipByDelay
from dualsys.inference_delay import SHARE, WINDOW, InferenceDelay
from dualsys.messages import ActionChunk
from dualsys.playhead import Playhead


def test_a_first_chunk_stands_in_until_rows_were_consumed() -> None:
    delay = InferenceDelay()
    assert delay.rows() == 0
    delay.guess(9.3)
    assert delay.rows() == 10
    delay.add(3.0)
    assert delay.rows() == 3


def test_one_slow_chunk_in_ten_is_left_out_and_forgotten() -> None:
    delay = InferenceDelay()
    for rows in [30.0, *[4.2] * 9]:
        delay.add(rows)
    assert delay.rows() == 5
    for rows in range(1, WINDOW + 1):
        delay.add(float(rows))
    assert delay.rows() == round(SHARE * WINDOW)


def test_rows_are_counted_as_consumed_not_by_the_clock() -> None:
    """A second of holding in the midst of an inference of three rows."""
    head, policy = Playhead(0.0), Continuing(guidance="identity")
    head.swap(ActionChunk(rows=np.zeros((100, 1)), dt_s=0.02, start_stamp_s=0.0), policy)
    for tick in range(1, 4):
        head.advance(tick * 0.02, 0.02)
    head.advance(1.06, 0.0)
    head.swap(ActionChunk(rows=np.zeros((100, 1)), dt_s=0.02, start_stamp_s=0.0), policy)
    prefix = head.prefix("identity")
    assert prefix is not None
    assert prefix.inference_delay == 3


def test_the_prefix_is_what_runs_from_now_on() -> None:
    head = Playhead(0.0)
    assert head.prefix("identity") is None
    rows = np.random.default_rng(0).uniform(-1, 1, (10, 2))
    head.swap(ActionChunk(rows=rows, dt_s=0.02, start_stamp_s=0.0), SkipByDelay())
    head.advance(0.06, 0.06)
    prefix = head.prefix("jacobian")
    assert prefix is not None
    assert prefix.guidance == "jacobian"
    np.testing.assert_allclose(prefix.rows, rows[3:])
    np.testing.assert_array_equal(prefix.rows[0], head.target())
    head.advance(1.0, 0.94)
    assert head.starved
    assert head.prefix("identity") is None


def test_rows_of_a_slowed_motion_are_counted_though_every_tick_has_a_pace_of_its_own() -> None:
    """Half a second at full pace, a second from there to a standstill, at 1 kHz: 50 rows of 20 ms."""
    head, policy, dt_s = Playhead(0.0), SkipByDelay(), 0.001
    chunk = ActionChunk(rows=np.zeros((100, 1)), dt_s=0.02, start_stamp_s=0.0)
    head.swap(chunk, policy)
    for tick in range(1500):
        pace = min((1500 - tick - 0.5) / 1000, 1.0)
        head.advance((tick + 1) * dt_s, pace * dt_s)
    assert head.consumed_rows(chunk) == pytest.approx(50.0, abs=1e-3)
    half = ActionChunk(rows=np.zeros((100, 1)), dt_s=0.02, start_stamp_s=1.0)
    assert head.consumed_rows(half) == pytest.approx(6.25, abs=1e-3)


def test_what_was_long_ago_is_forgotten() -> None:
    head = Playhead(0.0)
    head.swap(ActionChunk(rows=np.zeros((2, 1)), dt_s=1e3, start_stamp_s=0.0), SkipByDelay())
    for tick in range(40_000):
        head.advance((tick + 1) * 0.001, 0.001 * (tick % 3))
    chunk = ActionChunk(rows=np.zeros((2, 1)), dt_s=0.02, start_stamp_s=31.0)
    assert head.consumed_rows(chunk) == pytest.approx(9.0 / 0.02, abs=0.2)
    assert len(head._history) < 12_000
