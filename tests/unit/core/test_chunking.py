import numpy as np
import pytest

from dualsys.chunk_policies import Naive, SkipByDelay, build_policy
from dualsys.chunking import LARGEST_ROW, problem_of, target_at
from dualsys.errors import ConfigError
from dualsys.messages import ActionChunk
from dualsys.playhead import Playhead

ROWS = np.array([[0.0, 10.0], [1.0, 20.0], [3.0, 0.0]])


@pytest.mark.parametrize(
    ("position", "target"),
    [
        (-1.0, [0, 10]),
        (0.0, [0, 10]),
        (0.25, [0.25 - 1 / 64, 12.5 + 15 / 32]),
        (1.0, [1, 20]),
        (1.5, [2 - 1 / 12, 10 + 5 / 2]),
        (2.0, [3, 0]),
        (9, [3, 0]),
    ],
)
def test_targets_lie_on_the_cubic_through_the_rows(position: float, target: list[float]) -> None:
    """Worked by hand: tangents 1, 4/3, 2 in the first column; 10, 0 (a turning point), -20 in the second."""
    np.testing.assert_allclose(target_at(ROWS, position), target)


def test_rows_so_large_that_their_sums_overflow_are_refused() -> None:
    chunk = ActionChunk(rows=np.array([[1.7e308], [-1.7e308]]), dt_s=0.02, start_stamp_s=1.0)
    assert problem_of(chunk, 1, now_s=1.0) == "finite"
    assert np.isfinite(target_at(np.array([[LARGEST_ROW], [-LARGEST_ROW], [LARGEST_ROW]]), 0.5)).all()


def test_a_target_shares_no_memory_with_the_chunk() -> None:
    for position in (0.0, 1.0, 2.0):
        assert not np.shares_memory(target_at(ROWS, position), ROWS)


def test_policies_at_no_delay_are_the_same() -> None:
    assert Naive().first_row(0.0) == SkipByDelay().first_row(0.0) == 0.0
    assert SkipByDelay().first_row(2.5) == 2.5


def test_policies_are_found_by_name() -> None:
    assert isinstance(build_policy("skip-by-delay"), SkipByDelay)
    assert isinstance(build_policy("naive"), Naive)
    with pytest.raises(ConfigError, match="Did you mean 'naive'"):
        build_policy("naiv")


def test_rows_of_other_types_that_hold_numbers_are_playable() -> None:
    chunk = ActionChunk(rows=np.zeros((2, 2), dtype=np.float32), dt_s=0.02, start_stamp_s=1.0)
    assert problem_of(chunk, 2, now_s=1.0) is None
    assert problem_of(chunk, 2, now_s=0.9) == "timing"


def test_consumption_is_counted_in_rows_of_the_new_chunk() -> None:
    """Rows 20 ms apart played for 60 ms are six rows of a chunk whose rows are 10 ms apart."""
    head = Playhead(0.0)
    slow = ActionChunk(rows=np.zeros((50, 1)), dt_s=0.02, start_stamp_s=0.0)
    assert head.swap(slow, SkipByDelay()) is None
    head.advance(0.02, 0.02)
    for tick in range(2, 5):
        head.advance(tick * 0.02, 0.02)
    fast = ActionChunk(rows=np.zeros((50, 1)), dt_s=0.01, start_stamp_s=0.02)
    assert head.consumed_rows(fast) == pytest.approx(6.0)
