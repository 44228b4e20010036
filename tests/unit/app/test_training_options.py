"""Options of a training that say nothing, or too little: refused before anything is done."""

from pathlib import Path
from typing import Any

import pytest

from dualsys.app.train import camera_to_go_on_with, usual_camera
from dualsys.app.train_config import TrainConfig
from dualsys.errors import ConfigError


def options(**values: Any) -> TrainConfig:
    given: dict[str, Any] = {"data": (Path("d"),), "out": Path("o")} | values
    return TrainConfig(**given)


def test_a_planner_alone_is_of_some_controller() -> None:
    with pytest.raises(ConfigError, match="--init-parts planner of what"):
        options(init_parts="planner")
    options(init_parts="planner", init="humanoid-table")


def test_datasets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="--data a/touch and b/touch are both called 'touch'"):
        options(data=(Path("a/touch"), Path("a/pick"), Path("b/touch/")))
    with pytest.raises(ConfigError, match="are both called 'd'"):
        options(data=(Path("d"),) * 2)


def test_what_a_checkpoint_tells_names_no_folder_of_the_machine() -> None:
    told = options(data=(Path("/home/me/touch"),), out=Path("/mnt/out"), init="/home/me/base").told
    assert (told["data"], told["out"], told["init"]) == (["touch"], "out", "base")
    assert options(init="humanoid-table").told["init"] == "humanoid-table"


@pytest.mark.parametrize("parts", ["planner", "both"])
def test_a_planner_that_stays_as_it_is_keeps_its_camera(parts: str) -> None:
    kept = options(init="base", init_parts=parts, train="actor")
    assert camera_to_go_on_with(kept, "head", ["close", "head"], {}) == "head"
    other = options(init="base", init_parts=parts, train="actor", camera="close")
    with pytest.raises(ConfigError, match=r"--camera close: base looks through 'head'.*--train actor keeps its"):
        camera_to_go_on_with(other, "head", ["close", "head"], {})


def test_a_planner_alone_that_is_trained_may_look_through_another_camera() -> None:
    alone: dict[str, Any] = {"init": "base", "init_parts": "planner"}
    assert camera_to_go_on_with(options(**alone, camera="close"), "head", ["close", "head"], {}) == "close"
    assert camera_to_go_on_with(options(**alone), "close", ["close", "head"], {}) == "close"
    assert camera_to_go_on_with(options(**alone), "wrist", ["close", "head"], {}) == "head"
    with pytest.raises(ConfigError, match=r"camera 'wrist' is left out: b lacks it\. Name another .* of head"):
        camera_to_go_on_with(options(**alone), "wrist", ["head"], {"wrist": "b lacks it"})


def test_the_usual_camera_is_not_changed_for_another_without_a_word() -> None:
    assert usual_camera(["close", "head"], {}) == "head"
    assert usual_camera(["close"], {}) == "close"
    assert usual_camera(["close"], {"wrist": "b lacks it"}) == "close"
    with pytest.raises(ConfigError, match=r"camera 'head' is left out: 64x64, 32x32\. Name another with --camera"):
        usual_camera(["close"], {"head": "64x64, 32x32"})
    with pytest.raises(ConfigError, match="--data has the cameras close, wrist: name one"):
        usual_camera(["wrist", "close"], {})
