import subprocess
import sys
from typing import Any

import pytest

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.sim_envs.options import EnvironmentOptions


def test_importing_sim_envs_imports_no_simulator() -> None:
    program = "import sys, dualsys.sim_envs; print([n for n in ('mujoco', 'gymnasium', 'OpenGL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("humanoid/tuch", "Did you mean 'humanoid/touch'"),
        ("humanod/touch", "Did you mean 'humanoid/touch'"),
        ("humanoid", "Did you mean 'humanoid/pick'"),
        ("", "unknown task ''"),
    ],
)
def test_an_unknown_task_names_the_closest(task: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sim_envs.make(task)


def test_every_suite_lists_tasks_under_its_own_name() -> None:
    names = sim_envs.task_names()
    assert "humanoid/touch" in names
    assert {name.split("/")[0] for name in names} == set(sim_envs.suites())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"instruction": "bake a cake"}, "cannot be told 'bake a cake': it does one thing, 'cartpole: balance'"),
        ({"phrasing": "held-out"}, "has no held-out phrasings"),
        ({"control_hz": 77.0}, "77"),
    ],
)
def test_arguments_that_mean_nothing_to_a_task_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sim_envs.make("dm_control/cartpole-balance", **wrong)


def test_a_task_may_be_told_what_it_does_anyway() -> None:
    environment = sim_envs.make("dm_control/cartpole-balance", instruction="cartpole: balance")
    assert environment.instruction == "cartpole: balance"
    environment.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"images": "always"}, "images='always'"),
        ({"phrasing": "test"}, "phrasing='test'"),
        ({"image_size": 0}, "image_size=0"),
        ({"control_hz": 0.0}, "control_hz=0.0"),
        ({"control_hz": float("nan")}, "control_hz=nan"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        EnvironmentOptions(**wrong)
