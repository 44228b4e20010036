"""Every head learns from demonstrations with a planner, by one option, and drives."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.train import main
from dualsys.app.train_config import HeadName, TrainConfig
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError
from dualsys.planner.vlm_planner import VLMPlanner
from tests.training.training_parts import record_touch

pytestmark = pytest.mark.slow
HEADS: tuple[HeadName, ...] = get_args(HeadName)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


def options(dataset: Path, out: Path, head: HeadName, **more: Any) -> TrainConfig:
    shape = FlowActorConfig(horizon=8, width=32, depth=2, num_heads=2)
    values: dict[str, Any] = {"steps": 4, "validate_every": 4, "batch_size": 2, "image_size": 24, "actor": shape}
    return TrainConfig(data=(dataset,), out=out, head=head, **(values | more))


@pytest.mark.parametrize("head", [head for head in HEADS if head != "flow"])
def test_a_head_is_one_option(dataset: Path, tmp_path: Path, head: HeadName) -> None:
    main(options(dataset, tmp_path, head))
    entry = Checkpoint.open(tmp_path).manifest.actor
    assert entry.name == {"unet": "diffusion", "bins": "tokens", "fast": "tokens"}.get(head, head)
    last = json.loads((tmp_path / "training/log.jsonl").read_text().splitlines()[-1])
    assert all(math.isfinite(value) for value in last.values() if isinstance(value, float))
    # So little trained, its chunks may be refused for being far from where the robot is; so it is asked itself.
    checkpoint = Checkpoint.open(tmp_path)
    planner, actor = VLMPlanner.from_checkpoint(checkpoint), FlowActor.from_checkpoint(checkpoint)
    environment = sim_envs.make("humanoid/touch", seed=8000, images="on-demand")
    seen = environment.observe()
    environment.close()
    chunk = actor.act(seen, planner.plan(seen))
    assert chunk.rows.shape == (8, actor.embodiment.num_actions)
    assert np.isfinite(chunk.rows).all()
    assert chunk.subgoal_age_s < 1.0


def test_a_prefix_is_flow_matching_s_alone(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only flow matching learns to continue rows"):
        main(options(dataset, tmp_path, "act", max_prefix=2))
