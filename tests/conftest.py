"""What every test process needs before the first framework is imported."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dualsys.embodiment import EmbodimentSpec

# Rule of the house: torch on a CPU runs one thread per process, and llvmpipe as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "1")
# No model hub is ever asked for anything; a test that tries fails at once instead of waiting for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MPLBACKEND", "Agg")
# Inherited by every process a test starts, Ray's daemons too: what is left behind can be told from others' processes.
os.environ["DUALSYS_TEST_RUN"] = str(os.getpid())

# How long an example takes is the machine's other work's doing.
settings.register_profile("dualsys", deadline=None)
settings.load_profile("dualsys")

_TESTS = Path(__file__).parent
_TAKING_TURNS = {
    "clock": tuple(_TESTS / name for name in ("integration", "gpu", "unit/bridge")),
    "build": (_TESTS / "packaging",),
}
"""Where tests run side by side, those of a group do so one after the other, in one worker: what runs against the wall
clock, and what builds in the working tree."""

MakeCheckpoint = Callable[[Path, EmbodimentSpec], Path]

_TINY_PALIGEMMA: dict[str, Any] = {
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
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
    },
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell which tests take turns, and which share a training: each file's, recorded and trained once.

    First of all, since pytest-xdist reads the groups in the same hook.
    """
    for item in items:
        for group, folders in _TAKING_TURNS.items():
            if any(item.path.is_relative_to(folder) for folder in folders):
                item.add_marker(pytest.mark.xdist_group(group))
        if item.path.is_relative_to(_TESTS / "training"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def make_checkpoint() -> MakeCheckpoint:
    """Writes a checkpoint with both systems: real classes, random weights, built in a second."""
    return _make_checkpoint


def _make_checkpoint(folder: Path, embodiment: EmbodimentSpec) -> Path:
    import torch

    from dualsys.actor.config import FlowActorConfig
    from dualsys.actor.flow_actor import FlowActor
    from dualsys.actor.normalization import ControllerStatistics, Statistics
    from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, installed_versions, write_manifest
    from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
    from dualsys.planner.tokenization import train_tokenizer
    from dualsys.planner.vlm_planner import VLMPlanner

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    planner_config = VLMPlannerConfig(
        backbone="paligemma",
        architecture=_TINY_PALIGEMMA,
        camera=embodiment.cameras[0].name,
        readout=ReadoutConfig(num_tokens=3, dim=8, num_heads=2),
    )
    planner = VLMPlanner.build(planner_config, train_tokenizer(["touch the red block", "tap the green one"]))
    state = Statistics(mean=(0.0,) * embodiment.num_states, std=(1.0,) * embodiment.num_states)
    action = Statistics(mean=(0.0,) * embodiment.num_actions, std=(0.1,) * embodiment.num_actions)
    actor = FlowActor.build(
        FlowActorConfig(width=16, depth=1, num_heads=2),
        embodiment=embodiment,
        subgoal_spec=planner.subgoal_spec,
        statistics=ControllerStatistics(state=state, action=action),
    )
    manifest = Manifest(
        format=FORMAT,
        name=folder.name,
        embodiment=embodiment,
        subgoal=planner.subgoal_spec,
        planner=ModuleEntry(name="vlm"),
        actor=ModuleEntry(name="flow"),
        versions=installed_versions(),
    )
    checkpoint = Checkpoint(folder=folder, manifest=manifest)
    entries = {"planner": planner.save(checkpoint), "actor": actor.save(checkpoint)}
    write_manifest(folder, manifest.model_copy(update=entries))
    return folder
