import subprocess
import sys
from typing import Any

import pydantic
import pytest

from dualsys.errors import ConfigError
from dualsys.sim_envs.perturbations import LEVELS, PRESETS, described, perturbations_of
from dualsys.sim_envs.perturbations.lighting import Lighting
from dualsys.sim_envs.perturbations.presets import require_once
from dualsys.sim_envs.perturbations.pushes import Pushes


def test_presets_are_those_that_are_documented() -> None:
    kinds = {"lighting", "camera", "texture", "friction", "mass", "sensor-noise", "drop-out", "pushes", "paraphrase"}
    apart = {"change-of-mind"}  # few tasks can have it
    assert set(PRESETS) == {"none", "all", *kinds, *apart}
    for name, levels in PRESETS.items():
        assert tuple(levels) == LEVELS
        assert {each.kind for each in levels["mild"]} == {"none": set(), "all": kinds}.get(name, {name})


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("none", "all")])
def test_a_level_is_stronger_than_the_one_before(name: str) -> None:
    mild, medium, severe = (described(PRESETS[name][level])[0] for level in LEVELS)
    for less, more in ((mild, medium), (medium, severe)):
        assert all(less[field] <= more[field] for field in less)
        assert less != more


def test_names_with_and_without_a_level() -> None:
    assert perturbations_of(()) == ()
    assert perturbations_of(("none",)) == ()
    assert perturbations_of(("lighting",)) == perturbations_of(("lighting:medium",)) == PRESETS["lighting"]["medium"]
    assert perturbations_of(("pushes:mild", "mass:severe")) == (*PRESETS["pushes"]["mild"], *PRESETS["mass"]["severe"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("lihgting", "Did you mean 'lighting'"),
        ("lighting:wild", "Did you mean 'mild'"),
        ("", "Available: all"),
    ],
)
def test_an_unknown_name_or_level_is_refused_with_what_there_is(asked: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        perturbations_of((asked,))


def test_a_kind_is_refused_twice() -> None:
    with pytest.raises(ConfigError, match="same kind twice: lighting"):
        perturbations_of(("lighting:mild", "all:severe"))
    with pytest.raises(ConfigError, match="pushes"):
        require_once((Pushes(speed_m_s=1.0), Pushes(speed_m_s=2.0)))


@pytest.mark.parametrize("wrong", [{"brightness": -0.1}, {"tint": 1.1}, {"brightness": float("nan")}, {"bright": 1.0}])
def test_strengths_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Lighting(**wrong)


def test_asking_for_names_imports_no_simulator() -> None:
    program = "import sys, dualsys.sim_envs.perturbations; print(*{'mujoco', 'gymnasium'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
