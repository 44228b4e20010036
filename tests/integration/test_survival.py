"""Whatever happens to the others once all are ready, the tick goes on: real processes, killed and kept from returning.

The tick runs at 100 Hz here, so that a deadline is missed by a stall, not by the machine's other work.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.launchers import LauncherName
from dualsys.bridge.processes import run_processes
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError
from dualsys.settings import PlannerLifeConfig, RestartConfig
from dualsys.telemetry import read_log
from dualsys.testing.faults.misfortune import TICKS_BEFORE, Misfortune, Statuses, kill, restarts
from tests.integration import bridge_system

RUN_ID = f"survival-{os.getpid()}"
FOLDER = SHARED_MEMORY / f"{PREFIX}{RUN_ID}"
ROOT = Path(__file__).parents[2]
FEW_RESTARTS = {
    "max_failed_starts": 2,
    "planner_life": PlannerLifeConfig(restart=RestartConfig(max_restarts=2)),
}


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither shared memory nor a process of the run may be there afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    assert not FOLDER.exists()
    assert bridge_system.processes_of(str(FOLDER)) == set()


def system(**changes: Any) -> SystemConfig:
    environment = bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0)
    values: dict[str, Any] = {"seconds": 60.0, "environment": environment, "control_hz": 100.0}
    return bridge_system.reach_system(**(values | changes))


def run(config: SystemConfig, misfortune: Misfortune, launcher: LauncherName = "subprocess") -> dict[str, Any]:
    report = run_processes(config, run_id=RUN_ID, launcher=launcher, on_progress=misfortune).report
    misfortune.check()
    return report


@pytest.mark.parametrize("part", ["planner", "actor"])
def test_who_cannot_come_back_is_given_up_and_the_tick_goes_on(part: str, tmp_path: Path) -> None:
    marker = tmp_path / "gone"

    def harm(statuses: Statuses) -> None:
        marker.touch()
        kill(statuses, part)

    def is_given_up(statuses: Statuses) -> bool:
        # Long enough for the last subgoal to have expired.
        old = part == "actor" or (statuses["tick"]["planner_age_s"] or 0.0) > 3.0
        return old and part in statuses["supervisor"]["given_up"]

    misfortune = Misfortune(harm, is_given_up)
    changes = {part: bridge_system.part(f"{part}_unless", marker=str(marker)), **FEW_RESTARTS}
    report = run(system(**changes, log_folder=tmp_path), misfortune)
    faults = [line for line in read_log(tmp_path / "supervisor.jsonl") if line["kind"] == "fault"]
    assert [line["part"] for line in faults] == [part] * 3
    assert "status 2" in faults[-1]["detail"]
    assert "given up" in faults[-1]["detail"]
    assert report["supervisor"]["given_up"] == [part]
    assert report["supervisor"]["restarts"][part] == 2
    assert report["tick"]["count"] > misfortune.ticks_before + TICKS_BEFORE
    unserved = "requests_null" if part == "planner" else "requests_timed_out"
    assert report["counters"][unserved] > 0


@pytest.mark.parametrize("part", ["planner", "actor"])
def test_who_fails_to_start_again_is_tried_until_it_works(part: str, tmp_path: Path) -> None:
    marker = tmp_path / "gone"
    victims: list[int] = []

    def harm(statuses: Statuses) -> None:
        marker.touch()
        victims.append(statuses[part]["pid"])
        kill(statuses, part)

    def is_back(statuses: Statuses) -> bool:
        if restarts(statuses, part) >= 2:
            marker.unlink(missing_ok=True)
        made = statuses[part].get("plans" if part == "planner" else "chunks", 0)
        return bool(statuses[part]["pid"] != victims[0] and made > 0)

    report = run(
        system(log_folder=tmp_path, **{part: bridge_system.part(f"{part}_unless", marker=str(marker))}),
        Misfortune(harm, is_back),
    )
    assert report["supervisor"]["given_up"] == []
    assert report["supervisor"]["restarts"][part] >= 2
    back = [line for line in read_log(tmp_path / "supervisor.jsonl") if line["kind"] == "restart"]
    assert [(line["part"], line["start"]) for line in back] == [(part, 2)]


def test_a_hung_actor_is_killed_and_started_again(tmp_path: Path) -> None:
    config = system(actor=bridge_system.part("HangingActor", marker=str(tmp_path / "hung")), hangs_after_s=0.7)
    misfortune = Misfortune(
        lambda _: None,
        lambda statuses: statuses["supervisor"]["hangs"]["actor"] == 1 and restarts(statuses, "actor") == 1,
    )
    report = run(config, misfortune)
    assert report["supervisor"]["hangs"] == {"planner": 0, "actor": 1, "camera": 0}


@pytest.mark.slow
def test_the_death_of_rays_driver_and_cluster_is_survived() -> None:
    driver: list[int] = []

    def harm(statuses: Statuses) -> None:
        driver.append(statuses["launcher"]["pid"])
        kill(statuses, "launcher")

    def is_back(statuses: Statuses) -> bool:
        launcher, planner = statuses["launcher"], statuses["planner"]
        return bool(launcher["pid"] != driver[0] and planner["epoch"] >= 2 and planner["plans"] > 0)

    report = run(system(), Misfortune(harm, is_back), launcher="ray")
    assert report["supervisor"]["restarts"]["planner"] == 1
    assert report["planner"]["restarts"] >= 1


def test_who_dies_in_every_start_ends_the_run_before_its_first_tick() -> None:
    config = system(actor=bridge_system.part("dying_actor"), max_failed_starts=1)
    with pytest.raises(BridgeError, match="the actor process ended with status 7"):
        run(config, Misfortune(lambda _: None, lambda _: False))


def test_a_run_that_fails_keeps_what_its_processes_said(tmp_path: Path) -> None:
    def harm(statuses: Statuses) -> None:
        kill(statuses, "tick")

    with pytest.raises(BridgeError, match="the tick ended with status -9"):
        run(system(log_folder=tmp_path), Misfortune(harm, lambda _: False))
    assert {path.name for path in tmp_path.iterdir()} >= {"tick.log", "planner.log", "planner.1.jsonl", "actor.1.jsonl"}
    assert "ended with status" not in (tmp_path / "tick.log").read_text()
    assert len(read_log(tmp_path / "planner.1.jsonl")) >= 3
