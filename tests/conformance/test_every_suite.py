"""A task or two of each registered suite, tried as `dualsys check` tries all of them."""

import pytest

from dualsys import sim_envs
from dualsys.app.checking.examination import examine

NOT_IN_CI = {"libero": "LIBERO, which is 1.3 GB and not installed by the extras that tests run with"}
SAMPLE = [(suite, index) for suite in sim_envs.suites() for index in (0, -1)]


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "index"), SAMPLE)
def test_a_task_of_each_suite_is_as_it_should_be(suite: str, index: int) -> None:
    if suite in NOT_IN_CI:
        pytest.importorskip(suite, reason=NOT_IN_CI[suite])
    task = sorted(sim_envs.load_suite(suite).tasks())[index]
    finding = examine(task, expert_episodes=2)
    assert (finding.status, finding.why) == ("ok", "")
    assert finding.build_s > 0
    assert finding.step_ms > 0
    assert finding.frame_ms > 0
