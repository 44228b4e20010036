"""What a run is made of: a checkpoint's two, nothing at all, or a policy of another program."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.app import cli
from dualsys.app.run import system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_parts import parts_for
from dualsys.bridge.parts import build_actor, build_planner
from dualsys.bridge.system import SystemConfig
from dualsys.errors import CheckpointError
from dualsys.provenance import subgoal_problem
from dualsys.sim_envs import make
from tests.unit.actor.policy_servers import openpi_server

TASK = "dm_control/cartpole-balance"
BRIEF = ["--control-hz", "100", "--seconds", "1"]
KEYS = '[state]\n"state" = ":"\n'


def test_a_robot_that_stands_needs_no_checkpoint_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    assert cli.main(["run", TASK, *BRIEF, "--planner", "null", "--actor", "hold", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["counters"]["chunks"] >= 3
    for part in ("planner", "actor"):
        asked: Any = {part: "null" if part == "planner" else "hold"}
        with pytest.raises(CheckpointError, match="unitree-g1-upper"):
            parts_for(RunConfig(task=TASK, **asked), make(TASK))


def test_parts_of_either_kind_are_the_same_in_another_process() -> None:
    """A process reads what it is to build from a file."""
    with openpi_server(lambda message: {"actions": np.ones((5, 1))}) as address:
        for options in ({"planner": "null", "actor": "hold"}, {"policy": address}):
            config = RunConfig(task=TASK, control_hz=100.0, **options)  # type: ignore[arg-type]
            system = system_config(config, parts_for(config, make(TASK)), log=None)
            read = SystemConfig.model_validate_json(system.model_dump_json())
            assert read == system
            actor = build_actor(read.actor, read.embodiment, read.subgoal)
            planner = build_planner(read.planner, actor.subgoal_spec)
            observation = read.embodiment.fake_observation(np.random.default_rng(0))
            assert actor.act(observation, None).rows.shape[1] == 1
            problem = subgoal_problem(planner.plan(observation), read.subgoal)
            assert problem == (None if config.policy else "its mask leaves no token")
            getattr(actor, "close", lambda: None)()


def test_a_policy_of_another_program_is_run(tmp_path: Path) -> None:
    file, keys, asked = tmp_path / "run.json", tmp_path / "keys.toml", []

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        asked.append(message)
        return {"actions": np.full((8, 1), 0.5)}

    keys.write_text(KEYS)
    with openpi_server(answer) as address:
        policy = ["--policy", address, "--policy-keys", str(keys)]
        assert cli.main(["run", TASK, *BRIEF, *policy, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["counters"]["chunks"] >= 3
    assert len(asked) > report["counters"]["chunks"], "once more, for its horizon"
    assert report["config"]["policy"] == address


def test_rows_of_a_policy_are_a_period_of_the_task_apart_however_fast_the_ticks_are() -> None:
    config = RunConfig(task="humanoid/touch", control_hz=500.0, policy="ws://nowhere:1")
    environment = make("humanoid/touch", control_hz=500.0)
    assert parts_for(config, environment).actor.options["dt_s"] == 0.02
    environment.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy-keys", "libero"], "--policy-keys are names that a --policy has"),
        (["--policy", "gpu:8000"], "--policy gpu:8000: give ws://HOST:PORT"),
        (["--policy", "ws://gpu:1", "--planner-hz", "2"], "--planner-hz: a --policy is both systems"),
        (["--policy", "ws://gpu:1", "--actor", "hold", "--planner", "null"], "--planner, --actor: a --policy is both"),
    ],
)
def test_what_does_not_go_with_a_policy_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", TASK, *options]) == 2
    assert said in capsys.readouterr().err
