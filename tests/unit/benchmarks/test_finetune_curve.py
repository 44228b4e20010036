"""The first episodes of a recording are a shorter recording; what is done is known again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.finetune_curve import (
    FinetuneCurveConfig,
    first_episodes,
    require_same_base,
    train,
    training_of,
)
from dualsys.actor.config import FlowActorConfig
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.errors import ConfigError
from tests.conftest import MakeCheckpoint


def record(out: Path, episodes: int) -> DemonstrationDataset:
    record_demonstrations(DemosConfig(task="humanoid/point", episodes=episodes, out=out, image_size=32))
    return DemonstrationDataset.open(out)


@pytest.mark.slow
def test_the_first_episodes_are_what_a_shorter_recording_holds(tmp_path: Path) -> None:
    first, shorter = first_episodes(record(tmp_path / "three", 3), 2), record(tmp_path / "two", 2)
    assert len(first) == len(shorter)
    assert first.instructions == shorter.instructions
    for name in ("states", "actions", "episode_starts", "episode_lengths", "folder_of_episode", "seeds", "success"):
        np.testing.assert_array_equal(getattr(first, name), getattr(shorter, name), err_msg=name)
    assert first.extras.keys() == shorter.extras.keys()
    for name, column in first.extras.items():
        np.testing.assert_array_equal(column, shorter.extras[name], err_msg=name)
    mine, theirs = first.cameras["head"], shorter.cameras["head"]
    assert mine.frames.shape == theirs.frames.shape
    np.testing.assert_array_equal(mine.frame_of_row, theirs.frame_of_row)
    np.testing.assert_array_equal(mine.stamp_of_row_s, theirs.stamp_of_row_s)
    # The encoder looks ahead over what comes after: levels, not pictures, may differ.
    apart = np.abs(mine.frames[:].astype(int) - theirs.frames[:].astype(int))
    assert apart.mean() < 1.0


def test_from_scratch_has_the_base_s_shape_and_its_own_rate(tmp_path: Path) -> None:
    config = FinetuneCurveConfig(out=tmp_path, steps=40)
    tuned, scratch = (
        training_of(config, start, 5, tmp_path / "x", (Path("data"),)) for start in ("fine-tuned", "from scratch")
    )
    assert (tuned.init, scratch.init) == ("humanoid-table", "")
    assert tuned.steps == scratch.steps == 40
    base = Checkpoint.open("humanoid-table").manifest
    assert scratch.actor == FlowActorConfig.model_validate(base.actor.config)
    assert (scratch.subgoal_tokens, scratch.subgoal_dim) == (base.subgoal.num_tokens, base.subgoal.dim)
    changed = {key for key, value in tuned.decisive.items() if scratch.decisive[key] != value}
    shape = {"actor", "image_size", "camera", "exit_layer", "subgoal_tokens", "subgoal_dim"}
    assert changed - shape == {"init", "learning_rate"}


@pytest.mark.slow
def test_a_curve_goes_on_from_a_controller_in_a_folder(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> None:
    data = record(tmp_path / "data", 3)
    assert data.embodiment is not None
    base, out = make_checkpoint(tmp_path / "controllers/base", data.embodiment), tmp_path / "tuned"
    config = FinetuneCurveConfig(out=tmp_path, checkpoint=str(base), steps=2, batch_size=4)
    tuning = training_of(config, "fine-tuned", 3, out, data.paths)
    train(tuning, data)
    done = Checkpoint.open(out).manifest.training
    assert done["config"]["init"] == "base"
    written_ns = (out / "config.json").stat().st_mtime_ns
    train(tuning, data)
    assert (out / "config.json").stat().st_mtime_ns == written_ns
    with pytest.raises(ConfigError, match=r"was trained with batch_size 4 \(now 2\), steps 2 \(now 3\); give another"):
        train(replace(tuning, steps=3, batch_size=2), data)
    (out / "training/state.pt").unlink()
    (out / "config.json").write_text((out / "config.json").read_text().replace('"steps": 2', '"steps": 1', 1))
    with pytest.raises(ConfigError, match="holds a checkpoint that a new training would overwrite"):
        train(tuning, data)


def test_a_folder_keeps_to_the_controller_it_began_with(tmp_path: Path) -> None:
    config = FinetuneCurveConfig(out=tmp_path)
    require_same_base(config)
    require_same_base(config)
    noted = json.loads((tmp_path / "started_from.json").read_text())
    assert noted == {"checkpoint": "humanoid-table", "weights": Checkpoint.open("humanoid-table").weights_digest()}
    (tmp_path / "started_from.json").write_text(json.dumps(noted | {"weights": "0123456789abcdef"}))
    with pytest.raises(ConfigError, match="another --out"):
        require_same_base(config)


def test_one_demonstration_is_too_few() -> None:
    with pytest.raises(ConfigError, match="2 or more"):
        FinetuneCurveConfig(demonstrations=(1, 5))
