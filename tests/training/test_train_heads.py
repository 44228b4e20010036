"""Every head learns from demonstrations with a planner, by one option, and drives."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.train import main
from dualsys.app.train_config import HeadName, TrainConfig
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import CameraSpec
from dualsys.errors import ConfigError
from dualsys.messages import Observation
from dualsys.planner.vlm_planner import VLMPlanner
from tests.training.training_parts import chunk_of, first_sight, record_touch

pytestmark = pytest.mark.slow
HEADS: tuple[HeadName, ...] = get_args(HeadName)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


@pytest.fixture(scope="module")
def sight() -> Observation:
    return first_sight("humanoid/touch")


def options(dataset: Path, out: Path, head: HeadName, **more: Any) -> TrainConfig:
    shape = FlowActorConfig(horizon=8, width=32, depth=2, num_heads=2)
    values: dict[str, Any] = {"steps": 4, "validate_every": 4, "batch_size": 2, "image_size": 24, "actor": shape}
    return TrainConfig(data=(dataset,), out=out, head=head, **(values | more))


@pytest.mark.parametrize("head", [head for head in HEADS if head != "flow"])
def test_a_head_is_one_option(dataset: Path, sight: Observation, tmp_path: Path, head: HeadName) -> None:
    main(options(dataset, tmp_path, head))
    entry = Checkpoint.open(tmp_path).manifest.actor
    assert entry.name == {"unet": "diffusion", "bins": "tokens", "fast": "tokens"}.get(head, head)
    last = json.loads((tmp_path / "training/log.jsonl").read_text().splitlines()[-1])
    assert all(math.isfinite(value) for value in last.values() if isinstance(value, float))
    # So little trained, its chunks may be refused for being far from where the robot is; so it is asked itself.
    chunk = chunk_of(tmp_path, sight)
    assert chunk.rows.shape[0] == 8
    assert np.isfinite(chunk.rows).all()
    assert chunk.subgoal_age_s < 1.0


def test_a_prefix_is_flow_matching_s_alone(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only flow matching learns to continue rows"):
        main(options(dataset, tmp_path, "act", max_prefix=2))


def test_goals_are_learned_from_what_episodes_came_to(dataset: Path, sight: Observation, tmp_path: Path) -> None:
    camera = CameraSpec(name="head", height=96, width=96)
    eye = FastVisionConfig(camera=camera, channels=(8, 8, 8), goal=True)
    shape = FlowActorConfig(horizon=8, width=32, depth=2, num_heads=2, vision=eye)
    main(options(dataset, tmp_path / "goals", "flow", goal_images=True, actor=shape))
    main(TrainConfig(data=(dataset,), out=tmp_path / "more", init=str(tmp_path / "goals"), train="actor", steps=2))
    checkpoint = Checkpoint.open(tmp_path / "more")
    planner, actor = VLMPlanner.from_checkpoint(checkpoint), FlowActor.from_checkpoint(checkpoint)
    assert planner.config.goal_image
    shown = replace(sight, goal_image=np.full((96, 96, 3), 200, np.uint8))
    assert not np.array_equal(planner.plan(sight).tokens, planner.plan(shown).tokens)
    rows = []
    for observation in (sight, shown):
        actor.reset(seed=0)
        rows.append(actor.act(observation, None).rows)
    assert not np.array_equal(rows[0], rows[1])
