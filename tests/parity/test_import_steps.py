"""LeRobot's two processors: states by the first, actions by the second, each held against the other; or a refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dualsys.app.importing.conversion import Plan, Wish, plan_import
from dualsys.app.importing.import_report import summary
from dualsys.errors import CheckpointError, ConfigError
from tests.parity.published_folders import change_step, groot_folder, lerobot_folder, numbers

Steps = list[dict[str, Any]]
NORMALIZER, UNNORMALIZER = "normalizer_processor", "unnormalizer_processor"
TOP, WRIST = "observation.images.top", "observation.images.wrist"


@pytest.fixture
def pi0(tmp_path: Path) -> Path:
    return lerobot_folder(tmp_path / "published", "lerobot_pi0")


def planned(folder: Path) -> Plan:
    return plan_import(Wish(checkpoint=folder))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        planned(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def change_steps(folder: Path, file: str, change: Callable[[Steps], Any]) -> None:
    path = folder / f"policy_{file}.json"
    stored = json.loads(path.read_text())
    change(stored["steps"])
    path.write_text(json.dumps(stored))


def change_numbers(folder: Path, file: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = next(folder.glob(f"policy_{file}_step_*.safetensors"))
    stored = load_file(path)
    change(stored)
    save_file(stored, path)


def test_states_are_the_first_s_and_actions_the_second_s(pi0: Path) -> None:
    change_numbers(pi0, "preprocessor", lambda stored: [stored.pop(name) for name in list(stored) if "action" in name])
    change_numbers(pi0, "postprocessor", lambda stored: stored["observation.state.mean"].add_(1.0))
    statistics = planned(pi0).statistics
    np.testing.assert_allclose(statistics.state.mean, numbers(1)["mean"], rtol=1e-6)
    np.testing.assert_allclose(statistics.action.mean, numbers(2)["mean"], rtol=1e-6)


def test_actions_of_which_the_two_say_different_things_are_refused(pi0: Path) -> None:
    change_numbers(pi0, "postprocessor", lambda stored: stored["action.mean"].add_(100.0))
    refused(pi0, r"have different action\.mean, so actions were learned by other numbers")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"norm_map": {"STATE": "MEAN_STD", "ACTION": "MIN_MAX"}},
            "by mean-std in policy_preprocessor.json and turned back by min-max in policy_postprocessor.json",
        ),
        ({"eps": 0.5}, "normalised with eps 1e-08 in .* and turned back with eps 0.5"),
        ({"eps": -1.0}, "policy_postprocessor.json: eps of unnormalizer_processor is -1.0"),
    ],
)
def test_a_second_that_turns_back_otherwise_is_refused(settings: dict[str, Any], message: str, pi0: Path) -> None:
    change_step(pi0, UNNORMALIZER, **settings)
    refused(pi0, message)


def test_actions_are_turned_back_without_the_epsilon(pi0: Path) -> None:
    """Of `_NormalizationMixin._apply_transform`: `tensor * std + mean`, and the state over `std + eps`."""
    for step in (NORMALIZER, UNNORMALIZER):
        change_step(pi0, step, eps=0.5)
    statistics = planned(pi0).statistics
    np.testing.assert_allclose(statistics.state.std, numbers(1)["std"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(statistics.action.std, numbers(2)["std"], rtol=1e-6)


@pytest.mark.parametrize("name", ["policy_preprocessor.json", "policy_postprocessor.json"])
def test_one_file_without_the_other_is_refused(name: str, pi0: Path) -> None:
    (pi0 / name).unlink()
    refused(pi0, f"without {name}; copy it, too")


@pytest.mark.parametrize(
    ("file", "name", "why"),
    [
        ("preprocessor", NORMALIZER, "states would go in as they are"),
        ("postprocessor", UNNORMALIZER, "nothing would turn actions back"),
        ("preprocessor", "pi0_new_line_processor", "the prompt isn't pi0's"),
    ],
)
def test_a_step_that_should_be_there_is_missed(file: str, name: str, why: str, pi0: Path) -> None:
    def without(steps: Steps) -> None:
        steps[:] = [step for step in steps if step["registry_name"] != name]

    change_steps(pi0, file, without)
    refused(pi0, f"has no step .*{name}.*: .*{why}")


@pytest.mark.parametrize("file", ["preprocessor", "postprocessor"])
@pytest.mark.parametrize("name", ["registry_name", "class"])
def test_a_step_that_nobody_knows_is_refused_unless_it_is_off(file: str, name: str, pi0: Path) -> None:
    change_steps(pi0, file, lambda steps: steps.append({name: "scale_everything", "config": {"enabled": False}}))
    assert planned(pi0)
    change_steps(pi0, file, lambda steps: steps[-1].update(config={}))
    refused(pi0, "nothing here does what its step 'scale_everything' does")


def test_a_step_twice_and_a_state_left_out_are_refused(pi0: Path) -> None:
    change_step(pi0, NORMALIZER, features={"action": {}})
    refused(pi0, r"features of normalizer_processor leaves observation\.state out")
    change_step(pi0, NORMALIZER, features=None)
    change_steps(pi0, "preprocessor", lambda steps: steps.append(steps[-1]))
    refused(pi0, "has the step 'normalizer_processor' twice")


def test_cameras_are_called_as_the_robot_calls_them(pi0: Path) -> None:
    change_step(pi0, "rename_observations_processor", rename_map={TOP: WRIST, WRIST: TOP})
    plan = planned(pi0)
    assert plan.modules.planner.cameras == ("wrist", "top")  # type: ignore[attr-defined]
    told = "cameras that the model calls otherwise: wrist is the robot's top, top is the robot's wrist"
    assert told in summary(plan)["notes"]
    change_step(pi0, "rename_observations_processor", rename_map={"observation.images.front": TOP})
    assert [camera.name for camera in planned(pi0).robot.embodiment.cameras] == ["front", "wrist"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({TOP: "observation.images.front"}, "calls observation.images.top otherwise, which the model looks through"),
        ({TOP: WRIST, "observation.images.front": WRIST}, "two of observation.images.front, observation.images.top"),
        ({"observation.state": "observation.qpos"}, "only cameras"),
        ({TOP: 1}, "no names and other names"),
    ],
)
def test_names_that_make_no_robot_s_cameras_are_refused(names: dict[str, Any], message: str, pi0: Path) -> None:
    change_step(pi0, "rename_observations_processor", rename_map=names)
    refused(pi0, message)


def test_statistics_among_the_weights_that_differ_are_refused(pi0: Path) -> None:
    for path in pi0.glob("policy_*"):
        path.unlink()
    weights = load_file(pi0 / "model.safetensors")
    for number, where in enumerate(("normalize_targets", "unnormalize_outputs")):
        weights[f"{where}.buffer_action.mean"] = torch.full((8,), float(number))
    save_file(weights, pi0 / "model.safetensors")
    refused(pi0, r"have different buffer_action\.mean")


def test_of_several_robots_statistics_those_of_one_prefix_count(tmp_path: Path) -> None:
    """Published SmolVLA keeps some under the names of robots; those of no prefix may be of yet another one."""
    folder = lerobot_folder(tmp_path / "published", "lerobot_smolvla_special", key="so100.buffer.")
    for file in ("preprocessor", "postprocessor"):
        change_numbers(
            folder,
            file,
            lambda stored: stored.update(
                {
                    name.replace("so100.buffer.", other): value + shift
                    for name, value in list(stored.items())
                    for other, shift in (("so100-red.buffer.", 100.0), ("", 200.0))
                    if name.startswith("so100.")
                }
            ),
        )
    refused(folder, r"--statistics-prefix so100-red\.buffer\. or so100\.buffer\.")
    statistics = plan_import(Wish(checkpoint=folder, statistics_prefix="so100.buffer.")).statistics
    np.testing.assert_allclose(statistics.action.mean, numbers(2)["mean"], rtol=1e-6)
    np.testing.assert_allclose(statistics.state.mean, numbers(1)["mean"], rtol=1e-6)


def test_a_prefix_that_no_statistics_have_is_refused(pi0: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"names that begin with 'so101\.'\).*: no statistics state\.mean"):
        plan_import(Wish(checkpoint=pi0, statistics_prefix="so101."))
    groot = groot_folder(tmp_path / "groot", "lerobot_groot_n1_7")
    with pytest.raises(ConfigError, match="GR00T's robots have --tag"):
        plan_import(Wish(checkpoint=groot, statistics_prefix="so101."))


@pytest.mark.parametrize("asked", ["top", "wrist"])
def test_cameras_that_are_left_out_are_black_whatever_the_robot_calls_its_own(asked: str, pi0: Path) -> None:
    planner: Any = plan_import(Wish(checkpoint=pi0, cameras=(asked,))).modules.planner
    assert planner.cameras == (asked, "wrist (left out)")
    assert planner.optional_cameras == ("wrist (left out)",)
