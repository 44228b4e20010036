"""Training end to end on real demonstrations: a killed run resumes to the same bits, what it writes loads and acts."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.train import main, split_episodes
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.trainer import learning_rate
from dualsys.errors import CheckpointError, ConfigError
from tests.integration.training_parts import command, curve, killed_training, record_touch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


def options(dataset: Path, out: Path, **more: Any) -> TrainConfig:
    """The same as those of `command`."""
    return TrainConfig(
        data=(dataset,), out=out, steps=4, validate_every=2, batch_size=4, subgoal_tokens=2, subgoal_dim=8, **more
    )


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_curve_and_weights(dataset: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(dataset, whole), check=True, timeout=300)
    killed_training(dataset, killed)
    subprocess.run([*command(dataset, killed), "--resume"], check=True, timeout=300)
    assert curve(killed) == curve(whole)
    with pytest.raises(CheckpointError, match=r"was trained with seed 0 \(now 1\)"):
        main(options(dataset, whole, resume=True, seed=1))
    for file in ("planner.safetensors", "actor.safetensors", "statistics.json"):
        assert (killed / file).read_bytes() == (whole / file).read_bytes()
    assert (whole / "training/curves.png").stat().st_size > 0
    _acts(whole)


def _acts(checkpoint: Path) -> None:
    environment = sim_envs.make("humanoid/touch", seed=8000, images="on-demand")
    with Controller.from_checkpoint(checkpoint, embodiment=environment.embodiment) as controller:
        for _ in range(15):
            sent = controller.step(environment.observe())
            environment.step(sent.target)
    environment.close()
    assert sent.source == "actor"
    assert sent.subgoal_sequence >= 0


def test_what_cannot_be_resumed_or_would_be_overwritten_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        main(TrainConfig(data=(dataset,), out=tmp_path / "none", resume=True))
    (tmp_path / "taken/training").mkdir(parents=True)
    (tmp_path / "taken/training/state.pt").touch()
    with pytest.raises(ConfigError, match="give --resume"):
        main(TrainConfig(data=(dataset,), out=tmp_path / "taken"))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"validate_every": 0}, {"learning_rate": -1.0}, {"subgoal_dropout": 1.0}, {"threads": 0}]
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong)).replace('_', '-')} must"):
        TrainConfig(data=(), out=Path(), **wrong)


def test_learning_rate_warms_up_and_falls_to_nothing() -> None:
    config = TrainConfig(data=(), out=Path(), steps=1000, warmup_steps=100, learning_rate=1e-3)
    rates = [learning_rate(step, config) for step in range(1000)]
    assert rates[99] == max(rates) == 1e-3
    assert np.all(np.diff(rates[:100]) > 0)
    assert np.all(np.diff(rates[100:]) <= 0)
    assert rates[-1] < 1e-8


def test_validation_episodes_are_kept_apart() -> None:
    episodes = split_episodes(100, 0.05, seed=3)
    assert len(episodes.validation) == 5
    assert sorted([*episodes.training, *episodes.validation]) == list(range(100))
    with pytest.raises(ConfigError, match="too few"):
        split_episodes(1, 0.05, seed=0)
