import pytest

from dualsys import sim_envs
from dualsys.sim_envs.humanoid.suite import SUITE
from dualsys.testing import check_environment


@pytest.mark.parametrize("task", SUITE.tasks())
@pytest.mark.parametrize("control_hz", [50.0, 500.0])
def test_every_humanoid_task_conforms(task: str, control_hz: float) -> None:
    check_environment(sim_envs.make(task, control_hz=control_hz, image_size=32))
