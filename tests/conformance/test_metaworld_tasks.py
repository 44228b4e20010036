"""A sample of Meta-World's tasks; `dualsys check metaworld` plays all 50."""

from typing import Any

import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.protocols import Mirrored, Perturbable, Privileged, Rendered, Rewindable
from dualsys.testing import check_environment, check_expert

SAMPLE = tuple(f"metaworld/{name}-v3" for name in ("reach", "drawer-open", "pick-place", "assembly"))


def make(task: str) -> Any:
    return sim_envs.make(task, seed=5, images="on-demand", image_size=32)


@pytest.mark.parametrize("task", SAMPLE)
def test_tasks_conform_with_pictures_in_every_step(task: str) -> None:
    check_environment(sim_envs.make(task, image_size=32), steps=4)


@pytest.mark.parametrize("task", SAMPLE)
def test_tasks_can_be_drawn_elsewhere_and_tell_what_they_record(task: str) -> None:
    ours, mirror = make(task), make(task)
    for protocol in (Mirrored, Perturbable, Privileged, Rendered, Rewindable):
        assert isinstance(ours, protocol)
    facts = ours.privileged()
    for name, components in ours.privileged_columns.items():
        assert np.size(facts[name]) == len(components)
    before = mirror.render()
    for _ in range(20):
        ours.step(np.array([1.0, 1.0, -1.0, 1.0]))
    mirror.set_state(ours.physics_state())
    assert np.array_equal(mirror.render(), ours.render())
    assert not np.array_equal(mirror.render(), before)
    np.testing.assert_allclose(mirror.observe().state, ours.observe().state, atol=1e-9)
    ours.close()
    mirror.close()


@pytest.mark.parametrize("task", SAMPLE)
def test_the_shipped_policies_are_experts_that_conform(task: str) -> None:
    environment = make(task)
    check_expert(registry.load("experts", "metaworld"), environment, seed=1)
    environment.close()
