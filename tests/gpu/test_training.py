"""Training on a GPU: the processor's losses from the same numbers, the same curve again, a checkpoint for anywhere."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.app.controller import Controller
from dualsys.app.train import build_learner, main
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.episode_split import split_episodes
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays
from dualsys.data.reader import DemonstrationDataset
from dualsys.device import VARIABLE
from tests.gpu.device import GPU, NEEDS_GPU
from tests.training.training_parts import record_touch

pytestmark = NEEDS_GPU
SMALL: dict[str, Any] = {"batch_size": 4, "subgoal_tokens": 2, "subgoal_dim": 8, "max_prefix": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


def test_losses_from_the_same_numbers_are_those_of_the_processor(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn on the processor for both: pixel noise, noise of actions, times, prefixes, dropped subgoals."""
    monkeypatch.setenv(VARIABLE, "cpu")
    data = DemonstrationDataset.open((dataset,))
    episodes = split_episodes(data.folder_of_episode, 0.25, 0)
    here = build_learner(TrainConfig(data=(dataset,), out=tmp_path, **SMALL), data, episodes.training, print)
    torch.nn.init.normal_(here.expert.action_out.weight, std=0.1)
    there = copy.deepcopy(here).to(GPU)
    sampler = BatchSampler(
        data=TrainingData.of(data, "head"), episodes=episodes.training, horizon=32, frames_per_batch=4,
        moments_per_frame=2, delays_rows=even_delays(0.2, 0.02), seed=0, shares=np.zeros(1),
    )  # fmt: skip
    for augment in (False, True):
        losses = [
            learner.losses(sampler.draw(0), torch.Generator().manual_seed(0), augment=augment)
            for learner in (here, there)
        ]
        for kind in ("total", "flow", "position", "position_error_m"):
            ours, theirs = (getattr(each, kind).detach().cpu() for each in losses)
            torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-5)


def test_a_training_comes_out_the_same_twice_and_its_checkpoint_runs_on_a_processor(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = []
    for name in ("once", "again"):
        config = TrainConfig(
            data=(dataset,), out=tmp_path / name, steps=3, warmup_steps=1, precision="float32", **SMALL
        )
        assert main(config) == 0
        curves.append(json.loads((tmp_path / name / "training/log.jsonl").read_text().splitlines()[-1]))
        [start] = (tmp_path / name / "training/starts.jsonl").read_text().splitlines()
        assert json.loads(start)["device"].startswith("cuda")
    assert curves[0]["validation_flow"] == pytest.approx(curves[1]["validation_flow"], rel=1e-3)
    monkeypatch.setenv(VARIABLE, "cpu")
    Controller.from_checkpoint(tmp_path / "once").close()


def test_the_average_of_weights_is_the_processor_s() -> None:
    module = torch.nn.Linear(5, 3)
    there = copy.deepcopy(module).to(GPU)
    averages = [WeightAverage(module, 0.9), WeightAverage(there, 0.9)]
    for step in range(4):
        for each, average in zip((module, there), averages, strict=True):
            with torch.no_grad():
                each.weight.mul_(1.5)
            average.update(each, step)
    torch.testing.assert_close(averages[1].shadow["weight"].cpu(), averages[0].shadow["weight"])
