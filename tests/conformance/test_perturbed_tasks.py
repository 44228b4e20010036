"""Every suite's tasks keep their protocol when all that can be perturbed is, and are themselves again afterwards."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.sim_envs.perturbations.perturbed import Perturbed
from dualsys.sim_envs.perturbations.presets import perturbations_of
from dualsys.testing import check_environment

TASKS = [
    "humanoid/touch",
    "dm_control/cheetah-run",
    "dm_control/quadruped-walk",
    "metaworld/drawer-open-v3",
    "aloha/transfer-cube",
    "fetch/push",
    pytest.param(
        "libero/object-0",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(importlib.util.find_spec("libero") is None, reason="LIBERO is not installed"),
        ],
    ),
]
"""One of each suite; quadruped's actuators pull tendons."""


@pytest.mark.parametrize("task", TASKS)
def test_a_perturbed_task_conforms(task: str) -> None:
    check_environment(sim_envs.make(task, perturbations=("all:severe",), image_size=32, images="on-demand"))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_itself_again_after_perturbations(task: str) -> None:
    plain: Any = sim_envs.make(task, images="on-demand", image_size=32)
    expected = played(plain)
    perturbed = Perturbed(plain, perturbations_of(["all:severe"]))
    assert played(perturbed) != expected
    perturbed.close()
    assert played(plain) == expected
    plain.close()


def played(environment: Any, steps: int = 6) -> list[bytes]:
    """States of an episode, and its last picture."""
    environment.reset(seed=3)
    middle = np.clip(0.0, environment.embodiment.lower, environment.embodiment.upper)
    seen = []
    for _ in range(steps):
        environment.step(middle)
        seen.append(environment.observe().state.tobytes())
    camera = environment.embodiment.cameras[0].name
    return [*seen, environment.observe().images[camera].tobytes()]
