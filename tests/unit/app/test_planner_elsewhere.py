"""Options for a planner on another node or one that others serve, and what its server shows."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualsys.app.run_config import RunConfig
from dualsys.app.serve import ServeConfig, ServerTable, fleet_config, server_table
from dualsys.checkpoint import find_checkpoint, portable_checkpoint
from dualsys.errors import CheckpointError, ConfigError

ELSEWHERE: dict[str, Any] = {"task": "humanoid/touch", "mode": "processes", "ray_address": "10.0.0.1:6379"}


def test_a_planner_elsewhere_is_a_node_or_a_server() -> None:
    assert RunConfig(**ELSEWHERE, planner_node="role=planner").planner_server == ""
    assert RunConfig(**ELSEWHERE, planner_server="planner", robot="g1").robot == "g1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planner_node": "a=b", "planner_server": "c"}, "--planner-node is for a planner of the run's own"),
        ({"planner_node": "a=b", "mode": "threads"}, "needs --mode processes"),
        ({"planner_server": "a", "ray_address": None}, "--planner-server needs --ray-address"),
        ({"planner_node": "a=b", "launcher": "subprocess"}, "needs Ray: leave --launcher subprocess out"),
        ({"planner_server": "a", "planner_standbys": 1}, "knows no --planner-standbys"),
        ({"planner_server": "a", "planner": "null"}, "--planner is what the server has been started with"),
        ({"planner_node": "=b"}, "a label is KEY=VALUE"),
        (
            {"launcher": "subprocess"},
            "--ray-address is where Ray runs the planner, --launcher subprocess runs it without",
        ),
        ({"robot": "g1"}, "--robot is this robot's name at a --planner-server"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**(ELSEWHERE | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_batch": 0}, "--max-batch"),
        ({"max_robots": 0}, "--max-robots"),
        ({"seconds": float("nan")}, "--seconds"),
        ({"hangs_after_s": 0.0}, "--hangs-after-s"),
        ({"starts_within_s": float("nan")}, "--starts-within-s"),
        ({"name": ""}, "--name must not be empty"),
        ({"node": "a="}, "a label is KEY=VALUE"),
    ],
)
def test_options_of_serve_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServeConfig(**changes)


def test_a_shipped_checkpoint_travels_by_its_name_and_a_folder_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert portable_checkpoint("humanoid-table") == "humanoid-table"
    (tmp_path / "mine").symlink_to(find_checkpoint("humanoid-table"))
    monkeypatch.chdir(tmp_path)
    assert portable_checkpoint("mine") == find_checkpoint("humanoid-table").resolve()
    with pytest.raises(CheckpointError):
        portable_checkpoint("nowhere")
    served = fleet_config(ServeConfig(max_batch=3))
    assert (served.planner.checkpoint, served.max_batch) == ("humanoid-table", 3)


def seat(subgoals: int, problem: str = "") -> dict[str, Any]:
    counts = {"failures": 2 if problem else 0, "refused": 0, "overtaken": 1}
    return {"subgoals": subgoals, "problem": problem, "quiet_s": 0.1, **counts}


def test_the_server_shows_its_robots_and_what_fails() -> None:
    out = StringIO()
    figures = {"state": "serving", "batch": 1.5, "plan_s": 0.02}
    with ServerTable(Console(file=out, width=200)) as table:
        table.show({"state": "loading", "seats": {}})
        table.show({**figures, "seats": {"arm": seat(5), "leg": seat(0, "state is not finite")}})
    assert "loading, no robots" in out.getvalue()
    assert "serving 2 robots" in out.getvalue()
    assert "batches of 1.5, 20 ms each; failed 2" in out.getvalue()
    Console(file=out, width=200).print(server_table({**figures, "seats": {"leg": seat(0, "not finite")}}, {"leg": 0.0}))
    assert "not finite" in out.getvalue()
