"""Our own planners and actors pass the kit that third parties are given."""

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.experts import ExpertConfig, name_of
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.actor.scripted import HoldActor
from dualsys.embodiment import CameraSpec, EmbodimentSpec, SubgoalSpec
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.language_head import LanguageHead
from dualsys.planner.scripted import NullPlanner, ReplayPlanner, ScriptedPlanner
from dualsys.planner.subtask_planner import SubtaskPlanner, config_for
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from dualsys.protocols import Accelerated, Actor, Planner
from dualsys.testing import check_actor, check_planner, fake_embodiment
from tests.unit.actor import test_dit_expert
from tests.unit.actor.heads_under_test import every_head
from tests.unit.actor.joint_parts import FAMILIES, joint_actor
from tests.unit.planner import test_feature_planner, test_prefix_planner

ARM: EmbodimentSpec = fake_embodiment(2).model_copy(
    update={"cameras": tuple(CameraSpec(name=name, height=32, width=32) for name in ("head", "wrist"))}
)
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


def _tokens_planner(name: str) -> Planner:
    tokens = np.random.default_rng(0).standard_normal((4, 3, 8)).astype(np.float32)
    if name == "scripted":
        return ScriptedPlanner(SPEC, {WORDS: tokens[0]})
    return ReplayPlanner(SPEC, list(tokens)) if name == "replay" else NullPlanner(SPEC)


def _vlm_planner() -> VLMPlanner:
    readout = ReadoutConfig(num_tokens=3, dim=8, num_heads=2)
    torch.manual_seed(0)
    config = VLMPlannerConfig(backbone="paligemma", architecture=ARCHITECTURE, readout=readout)
    return VLMPlanner.build(config, train_tokenizer([WORDS]))


def _subtask_planner() -> Planner:
    planner = _vlm_planner()
    sizes = {"width": 32, "sense_width": 16, "num_heads": 2, "depth": 1}
    config = config_for(planner, state_size=ARM.num_states).model_copy(update=sizes)
    head = LanguageHead(config, planner.network.backbone.word_embedding.weight, planner.tokenizer).eval()
    return SubtaskPlanner(planner, head)


def _actor(config: ExpertConfig) -> Actor:
    scale = Statistics(mean=(0.0, 0.0), std=(1.0, 1.0))
    torch.manual_seed(0)
    statistics = ControllerStatistics(state=scale, action=scale)
    return FlowActor.build(config, embodiment=ARM, subgoal_spec=SPEC, statistics=statistics)


PLANNERS: dict[str, Callable[[], Planner]] = {
    "null": partial(_tokens_planner, "null"),
    "scripted": partial(_tokens_planner, "scripted"),
    "replay": partial(_tokens_planner, "replay"),
    "vlm": _vlm_planner,
    "subtasks": _subtask_planner,
    "features of Eagle": partial(test_feature_planner.planner, "eagle"),
    "features of Qwen3-VL": partial(test_feature_planner.planner, "qwen3_vl"),
    "prefix of pi0": partial(test_prefix_planner.planner, "pi0", train_tokenizer([WORDS])),
    "prefix of pi0.5": partial(test_prefix_planner.planner, "pi05", train_tokenizer([WORDS])),
    "prefix of SmolVLA": partial(test_prefix_planner.planner, "smolvla", train_tokenizer([WORDS])),
}
"""The first word is the registered name."""
ACTORS: dict[str, Callable[[], Actor]] = {
    "hold": lambda: HoldActor(ARM, SPEC),
    "flow": partial(_actor, FlowActorConfig(horizon=6, width=16, depth=2, num_heads=2, smoothing_window=3)),
    "dit": test_dit_expert.actor,
    **{f"joint of {family}": partial(joint_actor, family) for family in FAMILIES},
    **{f"{name_of(config)} as {label}": partial(_actor, config) for label, config in every_head(2).items()},
}
WITH_A_SERVER = {"actors": {"groot", "openpi"}}
"""What conforms only beside the program that it asks: held to it in `tests/unit/actor/test_{groot,openpi}_actor.py`."""
SLOW = ("vlm", "subtasks", "features of Eagle", "features of Qwen3-VL")


def _registered(kind: str) -> dict[str, str]:
    """Of the project's own file: what is installed may be of another day."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points: dict[str, str] = project["entry-points"][f"dualsys.{kind}"]
    return points


@pytest.mark.parametrize(("kind", "built"), [("planners", PLANNERS), ("actors", ACTORS)])
def test_everything_registered_is_here(kind: str, built: dict[str, Any]) -> None:
    assert {label.split()[0] for label in built} | WITH_A_SERVER.get(kind, set()) == set(_registered(kind))


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=[pytest.mark.slow] * (label in SLOW)) for label in PLANNERS]
)
def test_planners_conform(label: str) -> None:
    planner = PLANNERS[label]()
    assert isinstance(planner, resolve_name(_registered("planners")[label.split()[0]]))
    check_planner(planner, ARM, instruction=WORDS)


@pytest.mark.parametrize("label", ACTORS)
def test_actors_conform(label: str) -> None:
    actor = ACTORS[label]()
    assert isinstance(actor, resolve_name(_registered("actors")[label.split()[0]]))
    if isinstance(actor, FlowActor):
        assert name_of(actor.config) == label.split()[0]
    check_actor(actor, instruction=WORDS)


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_actors_conform_on_other_backends(backend: str) -> None:
    """`compiled` does, too: in the test that compiles one, `tests/unit/actor/test_backends.py`."""
    actor = ACTORS["flow"]()
    assert isinstance(actor, Accelerated)
    check_actor(actor.with_backend(backend), instruction=WORDS)
