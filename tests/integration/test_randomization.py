"""Wide randomisation where a controller is evaluated and corrected: the scenes that `dualsys demos` records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.app import cli
from dualsys.app.correct import make_parts
from dualsys.app.evaluation.episodes import make_episode_parts
from dualsys.app.workplace import make_workplace
from dualsys.messages import ImageArray

TASK, SEED = "humanoid/pick", 8003
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    environment = sim_envs.make(TASK, images="on-demand")
    environment.close()
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", environment.embodiment)


def seen(environment: Any) -> ImageArray:
    environment.reset(seed=SEED)
    image: ImageArray = environment.observe().images["head"]
    environment.close()
    return image


def test_who_evaluates_and_corrects_sees_what_is_recorded(controller: Path, tmp_path: Path) -> None:
    looks = {}
    for how in ("usual", "wide"):
        options = [TASK, "--randomization", how]
        chosen = [*options, "--checkpoint", str(controller)]
        evaluated, _ = make_episode_parts(cli.parse_options("eval", chosen), TASK)
        corrected, *_ = make_parts(cli.parse_options("correct", [*chosen, "--out", str(tmp_path)]))
        demos = cli.parse_options("demos", [*options, "--episodes", "1", "--out", str(tmp_path)])
        recorded, _ = make_workplace(demos.workplace)
        looks[how] = seen(recorded)
        assert np.array_equal(seen(evaluated), looks[how])
        assert np.array_equal(seen(corrected), looks[how])
    assert not np.array_equal(looks["usual"], looks["wide"])


def test_a_suite_of_one_look_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "dm_control/cartpole-balance", "--episodes", "1", "--randomization", "wide"]) == 2
    said = capsys.readouterr().err
    refused = "dm_control/cartpole-balance takes no randomization='wide': it has one look; leave randomization out"
    assert said == f"dualsys: {refused}\n"
