"""The planner on another Ray node, with a relay on the robot's: two real nodes, of which one dies and another comes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY
from dualsys.bridge.system import PlannerPlace, SystemConfig
from dualsys.errors import BridgeError
from dualsys.settings import CoreConfig, StalenessConfig
from dualsys.telemetry import read_log
from tests.integration import bridge_system
from tests.integration.two_nodes import TwoNodes, two_nodes

RUN_ID = f"relay-{os.getpid()}"
FOLDER = SHARED_MEMORY / f"{PREFIX}{RUN_ID}"
ROOT = Path(__file__).parents[2]
EXPIRE_S = 1.0
HOLDING = CoreConfig(subgoal=StalenessConfig(fresh_s=0.4, usable_s=0.7, expire_s=EXPIRE_S, on_expired="hold"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Statuses = Mapping[str, dict[str, Any]]


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Neither shared memory nor a process may be there afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with two_nodes() as both:
            yield both
    assert not FOLDER.exists()
    assert bridge_system.ray_daemons() == set()


def system(nodes: TwoNodes, **changes: Any) -> SystemConfig:
    values: dict[str, Any] = {
        "seconds": 120.0,
        "environment": bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0),
        "control_hz": 100.0,
        "core": HOLDING,
        "planner_place": PlannerPlace(ray_address=nodes.address, node="role=planner"),
    }
    return bridge_system.reach_system(**(values | changes))


class Story:
    """The planner's node comes after the run's start, dies under it, and another comes."""

    def __init__(self, nodes: TwoNodes) -> None:
        self._nodes = nodes
        self.planned_on: list[str] = []
        self.node_ids: list[str] = []
        self.maps: dict[str, str] = {}
        """Libraries of tick and relay."""
        self.oldest_s = 0.0
        """Age of the newest subgoal while there was no planner."""
        self.looks: list[tuple[int, int]] = []
        """Ticks and misses while there was none."""
        self.lost = ""
        self.reason = ""
        """What the supervisor says of the planner."""
        self._had = 0

    def __call__(self, progress: Progress) -> None:
        tick, planner = (progress.statuses.get(name, {}) for name in ("tick", "planner"))
        if not self.node_ids and planner.get("problem"):
            self.node_ids.append(self._nodes.tell("add planner"))
        if not tick.get("running"):
            return
        if not self.planned_on and tick["subgoals"] >= 3:
            self.planned_on.append(planner["node"])
            self.maps = {name: Path(f"/proc/{pid}/maps").read_text() for name, pid in _pids(progress.statuses).items()}
            self._nodes.tell("kill")
        elif len(self.node_ids) == 1 and self.planned_on:
            self.looks.append((tick["count"], tick["misses"]))
            self.oldest_s = max(self.oldest_s, tick["planner_age_s"] or 0.0)
            self.lost = planner["problem"] if planner["link"] == "lost" else ""
            self.reason = progress.statuses["supervisor"]["planner"]["reason"]
            if self.lost and self.reason and self.oldest_s > 2 * EXPIRE_S:
                self.node_ids.append(self._nodes.tell("add planner"))
                self._had = tick["subgoals"]
        elif len(self.node_ids) == 2 and planner["link"] == "up" and tick["subgoals"] >= self._had + 3:
            self.planned_on.append(planner["node"])
            self._had = 10**9
            os.kill(tick["pid"], signal.SIGTERM)


def _pids(statuses: Statuses) -> dict[str, int]:
    return {name: int(statuses[name]["pid"]) for name in ("tick", "planner")}


def test_a_planner_s_node_dies_and_another_comes_while_the_tick_goes_on(nodes: TwoNodes, tmp_path: Path) -> None:
    story = Story(nodes)
    config = system(nodes, log_folder=tmp_path)
    report = run_processes(config, run_id=RUN_ID, launcher="ray", on_progress=story).report
    assert story.planned_on == story.node_ids
    assert len(set(story.node_ids)) == 2
    assert "_raylet" in story.maps["planner"]
    assert "libtorch" not in story.maps["planner"]
    assert "_raylet" not in story.maps["tick"]
    assert story.lost
    assert story.reason == story.lost
    (begin, _), (end, misses) = story.looks[0], story.looks[-1]
    assert end - begin > 100 * EXPIRE_S
    assert misses - story.looks[0][1] <= (end - begin) / 10
    assert report["counters"]["planner_restarts"] == 1
    assert report["processes"]["planner"]["epoch"] == 2
    assert report["processes"]["planner"]["outages"] == 1
    assert report["planner"]["restarts"] == 0, "the relay itself has lived all the time"
    assert report["planner"]["life"]["state"] == "ready"
    assert "stale" in [change["state"] for change in report["planner"]["life"]["transitions"]]
    lines = [line for path in sorted(tmp_path.glob("*.jsonl")) for line in read_log(path)]
    subgoals = [(line["epoch"], line["sequence"]) for line in lines if line["kind"] == "subgoal"]
    assert subgoals == sorted(set(subgoals))
    assert {epoch for epoch, _ in subgoals} == {1, 2}
    held = [line for line in lines if line["kind"] == "command" and line["source"] == "hold"]
    assert held, "an expired subgoal stops the arm, as it would with a planner on this node"


@contextmanager
def served(nodes: TwoNodes, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """`dualsys serve` in the cluster, once it says how robots join."""
    command = [sys.executable, "-m", "dualsys", "serve", "--name", "shared", "--ray-address", nodes.address]
    command += ["--planner", bridge_system.PARTS + "BatchedPlanner", *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("--planner-server shared" in line for line in process.stderr)
        try:
            yield process
        finally:
            process.terminate()


class Visit:
    """Runs until a robot has had subgoals of two servers of one name, the first of which is killed."""

    def __init__(self, nodes: TwoNodes, servers: ExitStack) -> None:
        self._nodes, self._servers = nodes, servers
        self._first = servers.enter_context(served(nodes))
        self.pids: list[int] = []
        self.oldest_s = 0.0
        self._had = 0

    def __call__(self, progress: Progress) -> None:
        tick, planner = (progress.statuses.get(name, {}) for name in ("tick", "planner"))
        if not tick.get("running"):
            return
        self.oldest_s = max(self.oldest_s, tick["planner_age_s"] or 0.0)
        if tick["subgoals"] < self._had + 3 or planner["link"] != "up":
            return
        if not self.pids:
            self.pids.append(planner["server"]["pid"])
            self._first.kill()
            self._first.wait()
            self._had = tick["subgoals"]
            self._servers.enter_context(served(self._nodes))
        elif len(self.pids) == 1 and planner["server"].get("pid", self.pids[0]) != self.pids[0]:
            # Once: asked twice, it would die of it.
            self.pids.append(planner["server"]["pid"])
            os.kill(tick["pid"], signal.SIGTERM)


def test_a_served_planner_is_joined_and_joined_again_when_another_is_served(nodes: TwoNodes) -> None:
    with ExitStack() as servers:
        visit = Visit(nodes, servers)
        place = PlannerPlace(ray_address=nodes.address, server="shared", robot="arm")
        config = system(nodes, planner_place=place)
        report = run_processes(config, run_id=RUN_ID, launcher="ray", on_progress=visit).report
    assert len(set(visit.pids)) == 2
    assert report["planner"]["restarts"] == 0
    assert report["counters"]["planner_restarts"] == report["processes"]["planner"]["outages"] == 1
    assert report["processes"]["planner"]["failures"] == 0


class Stopped:
    """Runs until a robot has had subgoals of two servers, the first of which was stopped, and is no more."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self._had = 0

    def __call__(self, progress: Progress) -> None:
        tick, planner = (progress.statuses.get(name, {}) for name in ("tick", "planner"))
        if not tick.get("running") or planner["link"] != "up" or tick["subgoals"] < self._had + 3:
            return
        if not self.pids:
            self._had = tick["subgoals"]
            self.pids.append(planner["server"]["pid"])
            os.kill(self.pids[0], signal.SIGSTOP)
        elif len(self.pids) == 1 and planner["server"].get("pid", self.pids[0]) != self.pids[0]:
            self.pids.append(planner["server"]["pid"])
            os.kill(tick["pid"], signal.SIGTERM)


def test_a_server_that_was_stopped_is_followed_by_another_of_its_name(nodes: TwoNodes) -> None:
    story = Stopped()
    with served(nodes, "--hangs-after-s", "1"):
        place = PlannerPlace(ray_address=nodes.address, server="shared", robot="arm")
        config = system(nodes, planner_place=place)
        report = run_processes(config, run_id=RUN_ID, launcher="ray", on_progress=story).report
        until_s = time.monotonic() + 20.0
        while Path(f"/proc/{story.pids[0]}").exists() and time.monotonic() < until_s:
            time.sleep(0.1)
        assert not Path(f"/proc/{story.pids[0]}").exists(), "nobody continues it"
    assert len(set(story.pids)) == 2
    assert report["processes"]["planner"]["outages"] == 1
    assert report["planner"]["restarts"] == 0, "the relay itself has lived all the time"


def test_two_servers_of_one_name_are_refused(nodes: TwoNodes) -> None:
    with served(nodes):
        command = [sys.executable, "-m", "dualsys", "serve", "--name", "shared", "--ray-address", nodes.address]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a planner's server of that name exists" in done.stderr


@pytest.mark.parametrize(
    ("planner", "message"), [("other_planner", "SpecMismatch"), ("nobody", "has no attribute 'nobody'")]
)
def test_a_planner_that_cannot_be_set_up_elsewhere_ends_the_run_with_its_reason(
    nodes: TwoNodes, planner: str, message: str
) -> None:
    nodes.tell(f"add {planner}")  # a node of its own: those of the other tests have died, or been left busy
    place = PlannerPlace(ray_address=nodes.address, node=f"role={planner}")
    config = system(nodes, planner=bridge_system.part(planner), planner_place=place, ready_within_s=120.0)
    with pytest.raises(BridgeError, match=f"(?s){message}"):
        run_processes(config, run_id=RUN_ID, launcher="ray", on_progress=lambda _: None)


def test_a_cluster_that_is_not_there_ends_the_run_with_its_reason(nodes: TwoNodes) -> None:
    config = system(nodes, planner_place=PlannerPlace(ray_address="127.0.0.1:9"))
    with pytest.raises(BridgeError, match="no Ray cluster answers at --ray-address 127\\.0\\.0\\.1:9"):
        run_processes(config, run_id=RUN_ID, launcher="ray", on_progress=lambda _: None)
