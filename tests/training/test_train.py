"""Training end to end on real demonstrations: a killed run resumes to the same bits, what it writes loads and acts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.train import main
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.episode_split import split_episodes
from dualsys.app.training.trainer import learning_rate
from dualsys.errors import CheckpointError, ConfigError
from tests.training.training_parts import command, curve, killed_training, last_command, record_touch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


def options(dataset: Path, out: Path, **more: Any) -> TrainConfig:
    """The same as those of `command`."""
    values: dict[str, Any] = {"data": (dataset,), "steps": 4, "validate_every": 2, "batch_size": 4} | more
    return TrainConfig(out=out, subgoal_tokens=2, subgoal_dim=8, **values)


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
    sent = last_command(whole, "humanoid/touch")
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
    episodes = split_episodes(np.zeros(100, int), 0.05, seed=3)
    assert len(episodes.validation) == 5
    assert sorted([*episodes.training, *episodes.validation]) == list(range(100))
    with pytest.raises(ConfigError, match="too few"):
        split_episodes(np.zeros(1, int), 0.05, seed=0)


def test_every_dataset_with_two_episodes_is_validated_on() -> None:
    folders = np.repeat([0, 1, 2, 3], [100, 12, 2, 1])
    for seed in range(20):
        episodes = split_episodes(folders, 0.05, seed)
        assert np.bincount(folders[episodes.validation], minlength=4).tolist() == [5, 1, 1, 0]
        assert sorted([*episodes.training, *episodes.validation]) == list(range(len(folders)))
    assert np.bincount(folders[split_episodes(folders, 0.99, 0).training]).tolist() == [1, 1, 1, 1]
    with pytest.raises(ConfigError, match="3 episodes are too few"):
        split_episodes(np.arange(3), 0.05, seed=0)


def test_a_scene_is_trained_on_or_validated_on_but_not_both() -> None:
    folders = np.repeat([0, 1], [40, 30])
    scenes = np.concatenate([np.arange(40), np.repeat([25, 26, 31], [14, 2, 14])])
    for seed in range(20):
        episodes = split_episodes(folders, 0.05, seed, scenes)
        assert sorted([*episodes.training, *episodes.validation]) == list(range(70))
        kept = [{(folders[i], scenes[i]) for i in part} for part in (episodes.training, episodes.validation)]
        assert not kept[0] & kept[1]
        assert sorted(folder for folder, _ in kept[1]) == [0, 0, 1]
    with pytest.raises(ConfigError, match="3 episodes are too few"):
        split_episodes(np.zeros(3, int), 0.05, 0, np.full(3, 7))


def test_one_dataset_is_split_as_it_always_was() -> None:
    """States of before the split was made within each dataset go on to the same bits."""
    for seed in range(5):
        kept = np.random.default_rng(seed).permutation(60)[:3]
        assert split_episodes(np.zeros(60, int), 0.05, seed).validation.tolist() == sorted(kept)


@pytest.mark.slow
def test_a_state_of_another_split_is_not_gone_on_with(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single, out = tmp_path / "single", tmp_path / "out"
    record_demonstrations(DemosConfig(task="humanoid/touch", episodes=1, seed=9, out=single, tail_s=0.0))
    both: dict[str, Any] = {"data": (dataset, single), "steps": 2}
    assert main(options(dataset, out, **both)) == 0
    assert f"{single} has one episode: it is trained on" in capsys.readouterr().out.replace("\n", "")
    assert {key for key in curve(out)[-1] if key.startswith("validation_flow")} == {
        "validation_flow",
        f"validation_flow_{dataset.name}",
    }
    state_file = out / "training/state.pt"
    state = torch.load(state_file, weights_only=True)
    identity = json.loads(state["identity"])
    assert main(options(dataset, out, **both, resume=True)) == 0
    del identity["validation"]  # as it was while the episodes were chosen from all datasets together
    torch.save(state | {"identity": json.dumps(identity)}, state_file)
    with pytest.raises(
        CheckpointError, match=r"validation not told \(now 'within each dataset'\); resume with the same"
    ):
        main(options(dataset, out, **both, resume=True))
