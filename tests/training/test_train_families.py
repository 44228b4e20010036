"""Any family of vision-language models learns with an actor on the humanoid suite, swapped in by one option."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from dualsys.actor.flow_actor import FlowActor
from dualsys.app.train import main
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.learner import Learner
from dualsys.app.training.trainer import Trainer
from dualsys.checkpoint import Checkpoint
from dualsys.messages import Observation
from dualsys.planner.tiny_architectures import LAYERS, TINY
from dualsys.planner.vlm_planner import VLMPlanner
from tests.training.training_parts import first_sight, record_touch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


@pytest.fixture(scope="module")
def sight() -> Observation:
    return first_sight("humanoid/touch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A training before its first step."""

    trainer: Trainer
    learner: Learner
    loss: float
    planner: dict[str, Tensor]

    @classmethod
    def of(cls, trainer: Trainer) -> Self:
        learner = trainer.learner
        assert isinstance(learner, Learner)
        weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
        return cls(trainer=trainer, learner=learner, loss=loss_of(trainer), planner=weights)


@torch.no_grad()
def loss_of(trainer: Trainer) -> float:
    """Of the same batch and draws, whatever the weights."""
    batch, draws = trainer.training.draw(0), torch.Generator().manual_seed(0)
    return float(trainer.learner.eval().losses(batch, draws, augment=False).total)


@pytest.mark.parametrize("backbone", list(TINY))
def test_ten_steps_end_to_end(
    dataset: Path, sight: Observation, tmp_path: Path, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Start] = []

    def noted(*given: Any, **more: Any) -> Trainer:
        started.append(Start.of(Trainer(*given, **more)))
        return started[0].trainer

    monkeypatch.setattr("dualsys.app.train.Trainer", noted)
    main(
        TrainConfig(
            data=(dataset,),
            out=tmp_path,
            backbone=backbone,
            image_size=24,
            steps=10,
            batch_size=2,
            validate_every=10,
            warmup_steps=0,
            learning_rate=3e-3,
        )
    )
    checkpoint = Checkpoint.open(tmp_path)
    planner, actor = VLMPlanner.from_checkpoint(checkpoint), FlowActor.from_checkpoint(checkpoint)
    start = started[0]
    after = planner.network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(start.planner[name], value)}
    for part in (".vis", "layers.0.", "readout."):
        assert any(part in name for name in moved), f"nothing of {part} has learned"
    last = json.loads((tmp_path / "training/log.jsonl").read_text().splitlines()[-1])
    assert all(math.isfinite(value) for value in last.values() if isinstance(value, float))
    start.trainer.average.swap(start.learner)  # what was saved
    assert loss_of(start.trainer) < 0.98 * start.loss
    plan = planner.plan(sight)
    np.testing.assert_array_equal(plan.tokens, start.learner.planner.plan(sight).tokens)
    chunk = actor.act(sight, plan)
    assert np.isfinite(chunk.rows).all()
    assert chunk.subgoal_age_s < 1.0


def test_a_backbone_that_is_kept_stays_as_it_was_and_its_readout_learns(dataset: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": 2,
        "validate_every": 2,
        "batch_size": 2,
        "image_size": 24,
        "learning_rate": 3e-3,
    }
    main(TrainConfig(data=(dataset,), out=tmp_path, backbone="smolvlm", tune_layers=1, warmup_steps=0, **options))
    planner = VLMPlanner.from_checkpoint(Checkpoint.open(tmp_path))
    torch.manual_seed(0)
    before = VLMPlanner.build(planner.config, planner.tokenizer).network.state_dict()
    moved = {name for name, value in planner.network.state_dict().items() if not torch.equal(before[name], value)}
    moved = {name for name in moved if "lm_head" not in name}  # nobody reads it, and it isn't saved
    assert any(name.startswith("readout.") for name in moved)
    backbone = {name for name in moved if name.startswith("backbone.")}
    assert backbone
    assert all(f".layers.{LAYERS - 1}." in name and "vision" not in name for name in backbone)


def test_adapters_fit_a_family_of_another_kind(dataset: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "data": (dataset,),
        "steps": 2,
        "validate_every": 2,
        "batch_size": 2,
        "learning_rate": 3e-3,
    }
    main(TrainConfig(out=tmp_path / "base", backbone="qwen3_vl", image_size=24, warmup_steps=0, **shared))
    main(TrainConfig(out=tmp_path / "tuned", init=str(tmp_path / "base"), lora_rank=2, warmup_steps=0, **shared))
    base, tuned = (
        VLMPlanner.from_checkpoint(Checkpoint.open(tmp_path / name)).network.state_dict() for name in ("base", "tuned")
    )
    assert base.keys() == tuned.keys()
    moved = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert any(".visual." in name for name in moved)
    assert any(".language_model.layers.0." in name for name in moved)
    assert not any(name.endswith("norm.weight") for name in moved)


def test_adapters_begin_on_a_backbone_beside_a_new_readout_and_actor(dataset: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 3, "validate_every": 3, "batch_size": 2, "image_size": 24, "warmup_steps": 0}
    config = TrainConfig(data=(dataset,), out=tmp_path, backbone="qwen3_vl", lora_rank=2, learning_rate=0.05, **options)
    main(config)
    checkpoint = Checkpoint.open(tmp_path)
    planner = VLMPlanner.from_checkpoint(checkpoint)
    torch.manual_seed(0)
    fresh = VLMPlanner.build(planner.config, planner.tokenizer).network.state_dict()
    after = {name: value for name, value in planner.network.state_dict().items() if "lm_head" not in name}
    changes = {name: value - fresh[name] for name, value in after.items() if not torch.equal(fresh[name], value)}
    low = [name for name, change in changes.items() if name.startswith("backbone.") and "embed_tokens" not in name]
    assert any(".visual." in name for name in low)
    assert any(".language_model.layers.0." in name for name in low)
    # What an adapter adds to a matrix has its rank, and nothing else of the backbone has moved.
    assert all(torch.linalg.matrix_rank(changes[name].double(), rtol=1e-4) <= 2 for name in low)
    readout = [change for name, change in changes.items() if name.startswith("readout.") and change.ndim == 2]
    assert any(torch.linalg.matrix_rank(change.double(), rtol=1e-4) > 2 for change in readout)
    actor = FlowActor.from_checkpoint(checkpoint)
    assert all(torch.isfinite(value).all() for value in actor.expert.state_dict().values())
