import importlib.util
from typing import Any

import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.errors import ConfigError, ExtraMissing
from dualsys.rotations import matrix_of_quaternion
from dualsys.sim_envs.libero.panda import axis_angle
from dualsys.sim_envs.libero.tasks import NAMES, NUM_TASKS, task_called


def test_there_are_130_known_without_the_benchmark() -> None:
    suite = registry.load("environments", "libero")
    assert len(suite.tasks()) == len(set(suite.tasks())) == 130
    assert {"libero/spatial-0", "libero/object-9", "libero/goal-3", "libero/10-9", "libero/90-89"} <= set(suite.tasks())


def test_without_the_benchmark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def find_others(name: str, *arguments: Any) -> Any:
        return None if name == "libero" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    with pytest.raises(ExtraMissing, match=r"needs the package 'libero'.*pip install 'dualsys\[libero\]'"):
        sim_envs.make("libero/spatial-0")


def test_an_unknown_task_is_refused_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'libero/spatial-10'\. Did you mean 'libero/spatial-1'"):
        sim_envs.make("libero/spatial-10")


def test_axis_and_angle_are_those_of_the_quaternion() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        vector = axis_angle(quaternion)
        angle = float(np.linalg.norm(vector))
        assert 0.0 <= angle <= 2 * np.pi
        half = np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * vector / angle])
        assert matrix_of_quaternion(half) == pytest.approx(matrix_of_quaternion(quaternion), abs=1e-9)
    assert np.array_equal(axis_angle(np.array([1.0, 0.0, 0.0, 0.0])), np.zeros(3))
    turned_back = axis_angle(np.array([-np.cos(0.1), np.sin(0.1), 0.0, 0.0]))
    assert turned_back == pytest.approx([2 * np.pi - 0.2, 0.0, 0.0]), "the longer way round, as openpi has it"


def test_titles_and_sentences_are_the_benchmarks() -> None:
    pytest.importorskip("libero", reason="the extra libero takes 1.3 GB, which CI does not install")
    from libero.libero import benchmark

    for name in NAMES:
        task = task_called(name)
        theirs = benchmark.task_maps[f"libero_{task.suite}"]
        assert list(theirs)[task.number] == task.title
        assert theirs[task.title].language == task.sentence
        assert task.definition.is_file()
    assert {suite: len(benchmark.task_maps[f"libero_{suite}"]) for suite in NUM_TASKS} == NUM_TASKS


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(("-0", "-9"))])
def test_there_are_fifty_starts(name: str) -> None:
    pytest.importorskip("libero", reason="the extra libero takes 1.3 GB, which CI does not install")
    states = task_called(name).initial_states()
    assert len(states) == 50
    assert np.all(np.isfinite(states))
    assert len({state.tobytes() for state in states}) == 50
