import numpy as np
import pytest

from dualsys.sim_envs.perturbations.windows import Windows, windows_of


def test_there_is_one_window_of_its_length_in_each_period() -> None:
    windows = Windows(seed=3, kind="pushes", channel=0, lasts=4, period=10)
    began = [windows.began(step) for step in range(10 * 200)]
    for period in range(200):
        found = [first for first in began[10 * period : 10 * (period + 1)] if first is not None]
        assert len(found) == 4
        assert len(set(found)) == 1
        assert 10 * period <= found[0] <= 10 * period + 6
        assert began[found[0] : found[0] + 4] == found
    assert {first % 10 for first in began if first is not None} == set(range(7))


def test_windows_are_another_in_another_channel_kind_or_episode() -> None:
    def began(seed: int, kind: str, channel: int) -> list[int | None]:
        windows = Windows(seed=seed, kind=kind, channel=channel, lasts=2, period=30)
        return [windows.began(step) for step in range(300)]

    assert began(1, "a", 0) == began(1, "a", 0)
    assert len({tuple(began(*each)) for each in ((1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1))}) == 4


@pytest.mark.parametrize(("share", "lasts_s", "dt_s"), [(0.1, 0.5, 0.02), (0.9, 0.3, 0.05), (0.3, 1.0, 0.002)])
def test_windows_take_the_share_that_is_asked_for(share: float, lasts_s: float, dt_s: float) -> None:
    windows = windows_of(share=share, lasts_s=lasts_s, dt_s=dt_s, seed=0, kind="x", channel=0)
    steps = 40 * windows.period
    taken = np.mean([windows.began(step) is not None for step in range(steps)])
    assert abs(taken - share) < 0.05
    assert windows.lasts == round(lasts_s / dt_s)
