"""Chunks are learned from consecutive rows, so they are as far apart as the data's: whichever rate that is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.actor.config import FlowActorConfig
from dualsys.app.train import build_learner
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.row_times import at_rate_of_data, require_rate_of_data
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import CheckpointError, ConfigError
from tests.training.training_parts import record_touch


def test_a_fresh_actor_has_the_datas_rate(tmp_path: Path) -> None:
    data = DemonstrationDataset.open([record_touch(tmp_path / "touch")])
    assert data.fps == 50
    config = TrainConfig(data=tuple(data.paths), out=tmp_path / "out", subgoal_tokens=2, subgoal_dim=8)
    for fps in (50, 80):
        assert dt_of(config, replace(data, fps=fps)) == pytest.approx(1 / fps)
    assert dt_of(replace(config, head="regression"), replace(data, fps=25)) == pytest.approx(1 / 25)


def dt_of(config: TrainConfig, data: DemonstrationDataset) -> Any:
    learner = build_learner(config, data, np.arange(data.num_episodes), lambda line: None)
    return learner.actor.dt_s


def test_another_one_that_was_chosen_is_refused() -> None:
    assert at_rate_of_data(FlowActorConfig(dt_s=0.0125), 80).dt_s == 0.0125
    with pytest.raises(ConfigError, match=r"--actor.dt-s 0.05: --data has 50 rows a second, .* 0.02 s apart. Leave it"):
        at_rate_of_data(FlowActorConfig(dt_s=0.05), 50)


def test_an_actor_that_goes_on_keeps_its_rate() -> None:
    require_rate_of_data("mine", 0.0125, 80)
    with pytest.raises(CheckpointError, match=r"actor of mine makes 50 rows a second, --data has 80: .*--init-parts"):
        require_rate_of_data("mine", 0.02, 80)
