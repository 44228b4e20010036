"""bfloat16 where it is used: the networks' arithmetic, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dualsys.app.train import build_learner
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.episode_split import split_episodes
from dualsys.app.training.learner import Learner, Losses
from dualsys.app.training.precision import precision_on
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import ConfigError
from tests.training.training_parts import record_touch


def test_precision_follows_the_device_unless_it_is_named() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 1)
    assert precision_on(cpu, "auto") == precision_on(cpu, "float32") == precision_on(cuda, "float32") == torch.float32
    assert precision_on(cuda, "auto") == precision_on(cuda, "bfloat16") == torch.bfloat16
    with pytest.raises(ConfigError, match="--precision bfloat16 is for GPUs"):
        precision_on(cpu, "bfloat16")


@pytest.mark.slow
def test_losses_and_weights_stay_in_float32_and_near_those_of_float32(tmp_path: Path) -> None:
    config = TrainConfig(
        data=(record_touch(tmp_path / "touch"),), out=tmp_path, batch_size=4, subgoal_tokens=2, subgoal_dim=8
    )
    data = DemonstrationDataset.open(config.data)
    episodes = split_episodes(data.folder_of_episode, 0.25, 0)
    learner = build_learner(config, data, episodes.training, print)
    assert isinstance(learner, Learner)
    for parameter in learner.expert.parameters():  # the last layer starts at zero, which every arithmetic gets right
        torch.nn.init.normal_(parameter, std=0.1)
    sampler = BatchSampler(
        data=TrainingData.of(data, "head"), episodes=episodes.training, horizon=32, frames_per_batch=4,
        moments_per_frame=2, delays_rows=even_delays(0.2, 0.02), seed=0, shares=np.zeros(1),
    )  # fmt: skip
    exact = _losses(learner, sampler)
    learner.precision = torch.bfloat16
    rough = _losses(learner, sampler)
    for kind in ("total", "flow", "position"):
        assert getattr(rough, kind).dtype == torch.float32
        assert getattr(rough, kind) != getattr(exact, kind)
        torch.testing.assert_close(getattr(rough, kind), getattr(exact, kind), rtol=0.02, atol=0.0)
    torch.autograd.backward(rough.total)
    assert {value.grad.dtype for value in learner.parameters() if value.grad is not None} == {torch.float32}


def _losses(learner: Learner, sampler: BatchSampler) -> Losses:
    return learner.losses(sampler.draw(0), torch.Generator().manual_seed(0), augment=True)
