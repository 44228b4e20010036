import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.protocols import Mirrored, Perturbable, Privileged, Rendered, Rewindable
from dualsys.sim_envs.aloha.suite import SUITE
from dualsys.testing import check_environment, check_expert


@pytest.mark.parametrize("task", SUITE.tasks())
@pytest.mark.parametrize("control_hz", [50.0, 500.0])
def test_every_aloha_task_conforms(task: str, control_hz: float) -> None:
    check_environment(sim_envs.make(task, control_hz=control_hz, image_size=32))


@pytest.mark.parametrize("task", SUITE.tasks())
def test_every_aloha_task_can_be_drawn_elsewhere(task: str) -> None:
    ours, mirror = (sim_envs.make(task, seed=5, images="on-demand", cameras=["left_wrist"]) for _ in range(2))
    assert isinstance(ours, Mirrored)
    assert isinstance(mirror, Mirrored)
    assert isinstance(ours, Rendered)
    assert isinstance(mirror, Rendered)
    for environment in (ours, mirror):
        environment.reset(seed=5)
    before = mirror.render()
    for _ in range(10):
        ours.step(ours.embodiment.upper)
    mirror.set_state(ours.physics_state())
    assert np.array_equal(mirror.render(), ours.render())
    assert not np.array_equal(mirror.render(), before)
    assert np.array_equal(mirror.observe().images["left_wrist"], ours.observe().images["left_wrist"])
    for environment in (ours, mirror):
        environment.close()


@pytest.mark.parametrize("task", SUITE.tasks())
def test_every_aloha_task_has_an_expert_that_conforms(task: str) -> None:
    environment = sim_envs.make(task, images="on-demand")
    check_expert(registry.load("experts", "aloha"), environment, seed=1)
    environment.close()


@pytest.mark.parametrize("task", SUITE.tasks())
def test_every_aloha_task_tells_what_it_says_it_records_and_can_be_set_back_and_perturbed(task: str) -> None:
    environment = sim_envs.make(task, images="on-demand")
    assert isinstance(environment, Privileged)
    assert isinstance(environment, Rewindable)
    assert isinstance(environment, Perturbable)
    facts = environment.privileged()
    for name, components in environment.privileged_columns.items():
        assert np.size(facts[name]) == len(components)
    environment.close()
