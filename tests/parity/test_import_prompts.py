"""The prompt of an imported pi0 or pi0.5, to the letter that LeRobot 0.6.1's own steps give for the same folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from dualsys.app.cli import main
from dualsys.app.importing.conversion import Wish, plan_import
from dualsys.app.importing.import_report import summary
from dualsys.errors import ConfigError
from dualsys.planner.prefix_config import PrefixPlannerConfig
from dualsys.planner.prefix_prompt import normalized_state, prompt_text
from tests.parity.published_folders import lerobot_folder, openpi_folder

STATE = np.array([0.5, -0.25, 2.0, -3.0, 0.0, 0.1, 1.4, -0.6])
SPOKEN = "  pick_up\nthe red_cube "
PI05 = "Task: pick up the red cube, State: 109 -1 157 33 53 92 214 49;\nAction: "
"""Of `NormalizerProcessorStep` and `Pi05PrepareStateTokenizerProcessorStep` behind it."""
PADDED = PI05.replace(";", " 128" * 24 + ";")
"""Of LeRobot 0.4.4's, which pads the state to 32 before."""


def prompt(folder: Path, *, padded: bool = False) -> str:
    config = plan_import(Wish(checkpoint=folder, padded_state=padded)).modules.planner
    assert isinstance(config, PrefixPlannerConfig)
    state = None if config.state is None else normalized_state(STATE, config.state)
    return prompt_text(SPOKEN, state, config)


def notes(folder: Path, *, padded: bool = False) -> str:
    return "\n".join(summary(plan_import(Wish(checkpoint=folder, padded_state=padded)))["notes"])


def test_pi05_is_told_the_robots_own_numbers_as_by_lerobot_and_openpi(tmp_path: Path) -> None:
    lerobot = lerobot_folder(tmp_path / "lerobot", "lerobot_pi05")
    assert prompt(lerobot) == PI05
    assert prompt(openpi_folder(tmp_path / "openpi", "lerobot_pi05")) == PI05
    assert "the 8 numbers of the state alone" in notes(lerobot)


def test_pi0s_words_are_openpis_or_lerobots(tmp_path: Path) -> None:
    lerobot = lerobot_folder(tmp_path / "lerobot", "lerobot_pi0")
    assert prompt(lerobot) == "  pick_up\nthe red_cube \n"  # of `Pi0NewLineProcessor`
    openpi = openpi_folder(tmp_path / "openpi", "lerobot_pi0")
    assert prompt(openpi) == "pick up the red cube\n"  # of `PaligemmaTokenizer.tokenize`


def test_pi05_of_an_older_lerobot_is_told_zeros_behind_where_asked(tmp_path: Path) -> None:
    folder = lerobot_folder(tmp_path / "lerobot", "lerobot_pi05")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_state_dim": 32}))
    assert prompt(folder, padded=True) == PADDED
    assert "tells 32 numbers of the state" in notes(folder, padded=True)
    assert main(["import", str(folder), "--dry-run", "--padded-state"]) == 0


def test_no_other_checkpoints_state_is_padded(tmp_path: Path) -> None:
    for folder in (lerobot_folder(tmp_path / "pi0", "lerobot_pi0"), openpi_folder(tmp_path / "pi05", "lerobot_pi05")):
        with pytest.raises(ConfigError, match=r"--padded-state is of LeRobot's pi0\.5"):
            plan_import(Wish(checkpoint=folder, padded_state=True))
