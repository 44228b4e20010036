import numpy as np

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
