"""Options of a training that say nothing, or too little: refused before anything is done."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from dualsys.actor.config import FlowActorConfig
from dualsys.app.train import camera_to_go_on_with, usual_camera
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.adapters import Adapters
from dualsys.app.training.display import TrainingDisplay
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lora_rank": -3}, "--lora-rank must not be negative, got -3"),
        ({"lora_rank": 2, "train": "actor", "init": "base"}, "--lora-rank adapts the planner, --train actor keeps it"),
        ({"exit_layer": 0}, "--exit-layer must be at least 1, got 0"),
        ({"exit_layer": 4}, "--exit-layer 4: the decoder of tiny has 3 layers"),
        ({"tune_layers": 99}, "--tune-layers 99: 3 layers of the decoder of tiny run"),
        ({"tune_layers": 2, "exit_layer": 1, "backbone": "smolvlm"}, "--tune-layers 2: 1 layers of the decoder of sm"),
        ({"head": "act", "max_prefix": 2}, "only flow matching learns to continue rows; leave it or --head act out"),
        ({"max_prefix": 32}, "--max-prefix 32 leaves no row of a chunk of 32"),
        (
            {"head": "unet", "actor": FlowActorConfig(horizon=9)},
            "--head unet halves its rows: .* 9 is odd",
        ),
    ],
)
def test_what_a_model_cannot_have_is_refused_before_data_are_decoded(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options(**wrong)


@pytest.mark.parametrize(
    ("option", "value", "heads"),
    [
        ("solver", "heun", ("flow",)),
        ("num_inference_steps", 8, ("flow",)),
        ("noise", "fresh", ("flow", "diffusion", "unet")),
    ],
)
def test_settings_that_a_head_does_not_read_are_refused(option: str, value: object, heads: tuple[str, ...]) -> None:
    actor = FlowActorConfig.model_validate({option: value})
    for head in ("flow", "regression", "diffusion", "unet", "act", "bins", "fast"):
        if head in heads:
            options(head=head, actor=actor)
            continue
        with pytest.raises(ConfigError, match=f"--actor.{option.replace('_', '-')} is read by .* not by --head {head}"):
            options(head=head, actor=actor)


def test_a_base_s_own_layers_and_rows_are_not_guessed() -> None:
    options(init="base", tune_layers=99, max_prefix=40)


def test_adapters_of_more_rank_than_any_layer_are_refused_at_once() -> None:
    pytest.importorskip("peft")
    layers = nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 8))
    with pytest.raises(ConfigError, match=r"--lora-rank 9 is more than .* 8"):
        Adapters(layers, rank=9, whole=())
    Adapters(layers, rank=8, whole=())


def test_the_loss_of_any_head_is_called_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(steps=1) as display:
        display.show({"step": 1, "flow": 92.4, "validation_flow": 3.0, "validation_flow_touch": 2.0})
    assert "step=1 loss=92.4 validation_loss=3 validation_loss_touch=2" in capsys.readouterr().out
