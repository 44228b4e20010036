"""Our own planners and actors pass the kit that third parties are given."""

from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.actor.scripted import HoldActor
from dualsys.embodiment import CameraSpec, EmbodimentSpec, SubgoalSpec
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.scripted import NullPlanner, ReplayPlanner, ScriptedPlanner
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from dualsys.protocols import Accelerated, Actor, Planner
from dualsys.testing import check_actor, check_planner, fake_embodiment

ARM: EmbodimentSpec = fake_embodiment(2).model_copy(update={"cameras": (CameraSpec(name="head", height=32, width=32),)})
SPEC = SubgoalSpec(num_tokens=3, dim=8)
WORDS = "touch the red block"
ARCHITECTURE: dict[str, Any] = {
    "projection_dim": 32,
    "vision_config": {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
    },
}


def _planner(name: str) -> Planner:
    tokens = np.random.default_rng(0).standard_normal((4, 3, 8)).astype(np.float32)
    if name == "scripted":
        return ScriptedPlanner(SPEC, {WORDS: tokens[0]})
    if name == "replay":
        return ReplayPlanner(SPEC, list(tokens))
    if name == "null":
        return NullPlanner(SPEC)
    readout = ReadoutConfig(num_tokens=3, dim=8, num_heads=2)
    torch.manual_seed(0)
    config = VLMPlannerConfig(backbone="paligemma", architecture=ARCHITECTURE, readout=readout)
    return VLMPlanner.build(config, train_tokenizer([WORDS]))


def _actor(name: str) -> Actor:
    if name == "hold":
        return HoldActor(ARM, SPEC)
    scale = Statistics(mean=(0.0, 0.0), std=(1.0, 1.0))
    torch.manual_seed(0)
    config = FlowActorConfig(horizon=6, width=16, depth=2, num_heads=2, smoothing_window=3)
    statistics = ControllerStatistics(state=scale, action=scale)
    return FlowActor.build(config, embodiment=ARM, subgoal_spec=SPEC, statistics=statistics)


@pytest.mark.parametrize("name", ["null", "scripted", "replay", pytest.param("vlm", marks=pytest.mark.slow)])
def test_planners_conform(name: str) -> None:
    check_planner(_planner(name), ARM, instruction=WORDS)


@pytest.mark.parametrize("name", ["hold", "flow"])
def test_actors_conform(name: str) -> None:
    check_actor(_actor(name), instruction=WORDS)


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_actors_conform_on_other_backends(backend: str) -> None:
    """`compiled` does, too: in the test that compiles one, `tests/unit/actor/test_backends.py`."""
    actor = _actor("flow")
    assert isinstance(actor, Accelerated)
    check_actor(actor.with_backend(backend), instruction=WORDS)
