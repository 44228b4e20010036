"""Whether the task and its expert are what dualsys expects: `pytest examples/own_task`."""

from own_task import SUITE, ReachExpert

from dualsys import sim_envs
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
