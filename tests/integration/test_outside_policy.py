"""A policy of another program in a run on the wall clock: its server dies and comes back, and the tick goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.actor.outside.answers import NO_SUBGOAL
from dualsys.actor.outside.openpi_actor import OpenPIActor
from dualsys.bridge.threads import run_threads
from dualsys.planner.scripted import NullPlanner
from dualsys.telemetry import read_log
from dualsys.testing import fake_embodiment
from dualsys.testing.limits import check_limits
from tests.integration import bridge_system
from tests.unit.actor.policy_servers import openpi_server

ROBOT = fake_embodiment()
ROWS = 32


class Server:
    """Goes 2 cm further with each chunk; while it is down it hangs up on whoever asks."""

    def __init__(self, down: range) -> None:
        self.asked, self._down = 0, down

    def __call__(self, message: dict[str, Any]) -> Any:
        self.asked += 1
        if self.asked in self._down:
            return None
        return {"actions": np.tile(message["state"] + 0.02, (ROWS, 1))}


@pytest.mark.slow
def test_the_tick_goes_on_while_a_policys_server_is_down(tmp_path: Path) -> None:
    endless = bridge_system.part("reach", pose=2.0, max_steps=1_000_000)
    config = bridge_system.reach_system(environment=endless, subgoal=NO_SUBGOAL, seconds=4.0, log_folder=tmp_path)
    server = Server(down=range(8, 16))
    with openpi_server(server) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.02)
        report = run_threads(config, NullPlanner(NO_SUBGOAL), actor, on_progress=lambda _: None).report
        actor.close()
    assert report["processes"]["actor"]["failures"] == 8
    assert "hung up" in report["processes"]["actor"]["problem"]
    assert report["actor"]["restarts"] == 0
    assert server.asked > 18, "it is asked again, and answers"
    lines = read_log(tmp_path / "commands.jsonl")
    stamps = [line["stamp_s"] for line in lines if line["kind"] == "command"]
    assert check_limits(lines, ROBOT, 1 / config.control_hz).outside == 0
    assert stamps[-1] - stamps[0] > 2.5
    assert max(np.diff(stamps)) < 0.5, "nobody waited for the connection"
