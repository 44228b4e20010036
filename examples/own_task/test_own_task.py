"""Whether the task and its expert are what dualsys expects: `pytest examples/own_task`."""

from typing import Any

import pytest
from own_task import SUITE, ReachExpert

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.sim_envs import EnvironmentOptions
from dualsys.testing import check_environment, check_expert


def test_the_task_conforms() -> None:
    check_environment(SUITE.make("arm/reach", EnvironmentOptions(images="on-demand")))


def test_the_expert_conforms_and_solves_it() -> None:
    environment = SUITE.make("arm/reach", EnvironmentOptions(images="on-demand"))
    for seed in range(20):
        check_expert(ReachExpert, environment, seed=seed)
    environment.close()


def test_both_are_found_by_name() -> None:
    environment = sim_envs.make("arm/reach")
    assert environment.instruction.endswith("ball")
    environment.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"randomization": "wide"}, "leave randomization out"),
        ({"episode_steps": 50}, "its limit is 4 s; leave episode_steps out"),
        ({"instruction": "go home"}, "'go home' names no ball; arm/reach has red, green, blue"),
        ({"cameras": ("head",)}, "one camera, 'top'"),
        ({"control_hz": 3.0}, "control rates of 500 / n Hz"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SUITE.make("arm/reach", EnvironmentOptions(**options))


def test_words_of_ones_own_name_the_ball() -> None:
    environment = SUITE.make("arm/reach", EnvironmentOptions(images="on-demand", instruction="touch the blue one"))
    assert environment.target == "blue"
    environment.close()
