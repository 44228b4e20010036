"""Every way a planner can fail, with real processes and signals: the tick goes on, in the limits, to its safe state.

The safe state is configured here as holding still once the newest subgoal has expired. The tick runs at 100 Hz, so that
a deadline is missed by a stall, not by the machine's other work.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.soak_full_stack import ray_head
from dualsys.bridge.launchers import LauncherName
from dualsys.bridge.processes import run_processes
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY
from dualsys.bridge.system import SystemConfig
from dualsys.errors import BridgeError
from dualsys.settings import CoreConfig, PlannerLifeConfig, RestartConfig, StalenessConfig
from dualsys.telemetry import read_log
from dualsys.testing import fake_embodiment
from dualsys.testing.faults import processes
from dualsys.testing.faults.misfortune import Misfortune, Statuses, kill
from dualsys.testing.limits import check_limits
from tests.integration import bridge_system

RUN_ID = f"faults-{os.getpid()}"
FOLDER = SHARED_MEMORY / f"{PREFIX}{RUN_ID}"
ROOT = Path(__file__).parents[2]
EXPIRE_S = 1.0
SAFE_S = EXPIRE_S + 1.5
"""Age of the newest subgoal at which a test ends: the arm has been in its safe state for a while."""
HOLDING = CoreConfig(subgoal=StalenessConfig(fresh_s=0.4, usable_s=0.7, expire_s=EXPIRE_S, on_expired="hold"))
QUICK = RestartConfig(first_delay_s=0.05)


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither shared memory nor a process of the run may be there afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    assert not FOLDER.exists()
    assert bridge_system.processes_of(str(FOLDER)) == set()


def system(tmp_path: Path, **changes: Any) -> SystemConfig:
    environment = bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0)
    values: dict[str, Any] = {
        "seconds": 90.0,
        "environment": environment,
        "control_hz": 100.0,
        "core": HOLDING,
        "log_folder": tmp_path / "log",
        "planner_life": PlannerLifeConfig(hangs_after_s=0.7, restart=QUICK),
    }
    return bridge_system.reach_system(**(values | changes))


def marked(tmp_path: Path, *ways: str) -> dict[str, Any]:
    """A planner that goes wrong once there is a marker."""
    return {"planner": bridge_system.part("MarkedPlanner", marker=str(tmp_path / "marker"), ways=list(ways))}


def run(
    config: SystemConfig,
    harm: Callable[[Statuses], None],
    until: Callable[[Statuses], bool],
    launcher: LauncherName = "subprocess",
) -> dict[str, Any]:
    """Run until a while after the harm; the report, after the deadlines and the limits were looked at."""
    misfortune = Misfortune(harm, until)
    report = run_processes(config, run_id=RUN_ID, launcher=launcher, on_progress=misfortune).report
    misfortune.check()
    kept = check_limits(lines(config), fake_embodiment(), 1 / config.control_hz)
    assert kept.outside == 0
    assert kept.commands == report["tick"]["count"] > 0
    return report


def lines(config: SystemConfig) -> list[dict[str, Any]]:
    assert config.log_folder is not None
    return read_log(config.log_folder / "commands.jsonl")


def told(config: SystemConfig) -> str:
    """What the supervisor has noted of the planner."""
    assert config.log_folder is not None
    lines = read_log(config.log_folder / "supervisor.jsonl")
    return "\n".join(line["detail"] for line in lines if line["kind"] == "fault" and line["part"] == "planner")


def is_failed(statuses: Statuses) -> bool:
    old = (statuses["tick"]["planner_age_s"] or 0.0) > SAFE_S
    return old and bool(statuses["supervisor"]["planner"]["state"] == "failed")


def require_safe_end(config: SystemConfig, report: dict[str, Any]) -> None:
    """The arm held still at the end, and had not moved since its subgoal had expired, its last stop aside."""
    last = [line for line in lines(config) if line["kind"] == "command"][-100:]
    assert {command["source"] for command in last} == {"hold"}
    assert np.ptp([command["target"] for command in last], axis=0).max() == 0
    assert report["planner"]["life"]["state"] == "failed"
    assert report["supervisor"]["given_up"] == ["planner"]


def states(report: dict[str, Any], host: int = 0) -> list[str]:
    return [move["state"] for move in report["planner"]["life"]["transitions"] if move["host"] == host]


def touch(tmp_path: Path) -> Callable[[Statuses], None]:
    return lambda _: (tmp_path / "marker").touch()


@pytest.mark.parametrize(
    ("ways", "reasons"),
    [
        (["nan", "shape", "error"], ["not finite", "the spec says float32 (4, 8)", "ValueError: it does not know"]),
        (["memory"], ["MemoryError"]),
    ],
)
def test_a_planner_whose_plans_all_fail_ends_in_the_safe_state(
    ways: list[str], reasons: list[str], tmp_path: Path
) -> None:
    life = PlannerLifeConfig(max_failures=4, restart=RestartConfig(max_restarts=1))
    config = system(tmp_path, planner_hz=10.0, planner_life=life, **marked(tmp_path, *ways))
    report = run(config, touch(tmp_path), is_failed)
    require_safe_end(config, report)
    assert states(report) == ["starting", "ready", "restarting", "starting", "failed"]
    noted = (tmp_path / "log" / "planner.1.jsonl").read_text()
    assert all(reason in noted for reason in reasons)
    assert "plans in a row failed" in told(config)
    assert any(reason in report["planner"]["life"]["reason"] for reason in reasons)
    assert "1 restart within 60 s did not help" in report["planner"]["life"]["reason"]


def test_a_stopped_planner_is_told_by_its_age_and_replaced(tmp_path: Path) -> None:
    config = system(tmp_path)
    victims: list[int] = []

    def stop(statuses: Statuses) -> None:
        victims.append(statuses["planner"]["pid"])
        processes.stop(victims[0])

    def is_back(statuses: Statuses) -> bool:
        planner = statuses["supervisor"]["planner"]
        return bool(planner["state"] == "ready" and planner["restarts"] == 1)

    report = run(config, stop, is_back)
    assert report["planner"]["pid"] != victims[0]
    assert report["processes"]["planner"]["epoch"] == 2
    assert report["planner"]["life"]["hangs"] == report["counters"]["planner_restarts"] == 1
    assert states(report) == ["starting", "ready", "hung", "restarting", "starting", "ready"]
    assert "gave no sign of life" in told(config)


def test_a_standby_that_is_stopped_while_it_waits_is_replaced_and_nobody_else(tmp_path: Path) -> None:
    config = system(tmp_path, planner_standbys=1, planner_life=PlannerLifeConfig(hangs_after_s=2.0, restart=QUICK))
    victims: list[int] = []

    def are_both_there(statuses: Statuses) -> bool:
        hosts = statuses["supervisor"]["planner"]["hosts"]
        return any(host["state"] == "ready" for host in hosts) and all(host["loaded"] for host in hosts)

    def is_replaced(statuses: Statuses) -> bool:
        if not are_both_there(statuses):
            return False
        if not victims:
            waiting = bridge_system.processes_of(f"planner_host {FOLDER}") - {statuses["planner"]["pid"]}
            victims.extend(waiting)
            processes.stop(victims[0])
        return bool(statuses["supervisor"]["planner"]["restarts"])

    report = run(config, lambda _: None, is_replaced)
    assert len(victims) == 1
    assert report["processes"]["planner"]["epoch"] == 1, "the one that planned went on"
    assert report["planner"]["life"]["hangs"] == report["planner"]["life"]["restarts"] == 1
    assert "gave no sign of life" in told(config)


def test_one_that_ends_in_every_start_is_given_up_after_five(tmp_path: Path) -> None:
    def harm(statuses: Statuses) -> None:
        touch(tmp_path)(statuses)
        kill(statuses, "planner")

    config = system(tmp_path, **marked(tmp_path, "exit"))
    report = run(config, harm, is_failed)
    require_safe_end(config, report)
    life = report["planner"]["life"]
    assert life["restarts"] == report["supervisor"]["restarts"]["planner"] == 5
    assert life["reason"] == "its process ended with status 7; 5 restarts within 60 s did not help"
    assert states(report) == ["starting", "ready", *["restarting", "starting"] * 5, "failed"]
    assert "its process was killed by SIGKILL; restart at once" in told(config)
    assert told(config).endswith("given up")


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("spec", "it gives subgoals of {'num_tokens': 5, .*, the actor takes {'num_tokens': 4, "),
        ("wire", "it speaks wire version 99 .*, this run wire version 2 "),
    ],
)
def test_another_planner_than_the_run_began_with_is_refused(way: str, message: str, tmp_path: Path) -> None:
    config = system(tmp_path, **marked(tmp_path, way))

    def harm(statuses: Statuses) -> None:
        touch(tmp_path)(statuses)
        kill(statuses, "planner")

    report = run(config, harm, is_failed)
    require_safe_end(config, report)
    assert states(report) == ["starting", "ready", "restarting", "starting", "failed"]
    assert report["processes"]["planner"]["epoch"] == 1  # it never had the box
    reason = report["planner"]["life"]["reason"]
    assert reason.startswith("the planner's host was refused: ")
    with pytest.raises(BridgeError, match=f"(?s)could not be started: the planner's host was refused: .*{message}"):
        run_processes(config, run_id=RUN_ID, launcher="subprocess", on_progress=lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [0, 5])
def test_the_death_of_rays_head_is_told_and_a_new_cluster_comes_or_the_safe_state(
    restarts: int, tmp_path: Path
) -> None:
    ray_before = bridge_system.ray_daemons()
    life = PlannerLifeConfig(restart=RestartConfig(max_restarts=restarts))
    config = system(tmp_path, planner_life=life, ray_head_gone_after_s=1.0)

    def behead(statuses: Statuses) -> None:
        head = ray_head(statuses["launcher"]["pid"])
        assert head is not None
        processes.kill(head)

    def is_back(statuses: Statuses) -> bool:
        planner = statuses["supervisor"]["planner"]
        return bool(planner["state"] == "ready" and planner["restarts"] == 1)

    report = run(config, behead, is_back if restarts else is_failed, launcher="ray")
    reason = report["planner"]["life"]["reason"]
    assert "Ray's driver ended with status 4: Ray's head at " in told(config)
    assert "has died: no answer for 1 s" in reason
    if restarts:
        assert report["processes"]["planner"]["epoch"] == 2
    else:
        require_safe_end(config, report)
    assert bridge_system.ray_daemons() <= ray_before
