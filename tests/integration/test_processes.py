"""The processes driver with real processes: it works, survives deaths, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.processes import RunResult, run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY, remove_stale_folders
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import read_tape
from dualsys.bridge.tape_reel import TapeReel
from dualsys.errors import BridgeError
from dualsys.replay import replay
from dualsys.settings import PlannerLifeConfig
from dualsys.testing.faults import kill
from tests.integration import bridge_system

RUN_ID = f"test-{os.getpid()}"
FOLDER = SHARED_MEMORY / f"{PREFIX}{RUN_ID}"
ROOT = Path(__file__).parents[2]
ENDLESS = bridge_system.part("reach", pose=2.0, max_steps=1_000_000)


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither shared memory nor a process of the run may be there afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    assert not FOLDER.exists()
    assert bridge_system.processes_of(str(FOLDER)) == set()


def run(config: SystemConfig, on_progress: Callable[[Progress], None] = lambda _: None) -> RunResult:
    return run_processes(config, run_id=RUN_ID, launcher="subprocess", on_progress=on_progress)


Statuses = Mapping[str, dict[str, Any]]


class Watcher:
    """Looks at a run several times a second; ends it when a condition holds, however long that takes."""

    def __init__(self, until: Callable[[Statuses], bool]) -> None:
        self._until = until
        self._ended = False
        self.ticks: list[int] = []
        """Ticks so far, at each look."""

    def __call__(self, progress: Progress) -> None:
        tick = progress.statuses.get("tick", {})
        self.ticks.append(tick.get("count", 0))
        if not self._ended and tick.get("running") and self._until(progress.statuses):
            self._ended = True
            os.kill(tick["pid"], signal.SIGTERM)


class Killer(Watcher):
    """Kills a process once, when the tick has had some of what it makes, and ends the run when it has come back."""

    def __init__(self, name: str, *, made: str) -> None:
        super().__init__(self._is_back)
        self._name, self._made = name, made
        self.victim: int | None = None
        self.maps = ""
        """Libraries of the tick's process."""
        self.without: list[tuple[float, int]] = []
        """Time and ticks while the victim was gone."""
        self._had = 0

    def _is_back(self, statuses: Statuses) -> bool:
        tick, process = statuses["tick"], statuses.get(self._name, {})
        if self.victim is None:
            if tick[self._made] >= 3:
                self.maps = Path(f"/proc/{tick['pid']}/maps").read_text()
                self.victim = process["pid"]
                kill(process["pid"])
            return False
        if process["pid"] == self.victim:
            self.without.append((time.monotonic(), tick["count"]))
            self._had = tick[self._made]
            return False
        return bool(tick[self._made] >= self._had + 3)

    def share_of_ticks_served(self, control_hz: float) -> float:
        """Ticks served while the victim was gone, of those due: a tick that waits for anybody serves none."""
        (begin_s, first), (end_s, last) = self.without[0], self.without[-1]
        # The tick reports four times a second, so either end is that uncertain.
        return (last - first) / (control_hz * max(end_s - begin_s - 0.5, 0.1))


def accounted(report: dict[str, Any]) -> int:
    """Every deadline of a run: served, skipped, or passed while an episode was set up."""
    return int(report["tick"]["count"] + report["tick"]["skipped"] + report["counters"]["ticks_in_resets"])


def test_a_run_counts_every_deadline_and_solves_its_task() -> None:
    report = run(bridge_system.reach_system()).report
    assert accounted(report) == pytest.approx(1000, abs=2)
    assert report["episodes"] == len(report["outcomes"]) >= 1
    assert report["successes"] >= 1
    assert report["success"] == report["successes"] / report["episodes"]
    assert report["actor"]["count"] > 5
    assert report["planner"]["restarts"] == 0
    assert report["planner"]["age_s"]["p50"] < 1.0
    assert set(report["realtime"]) == {"gc", "cpu", "memory", "timer_slack", "scheduler"}
    assert report["counters"]["chunks_refused_sequence"] == report["counters"]["bad_events"] == 0


def test_a_killed_planner_comes_back_newer_and_the_tick_goes_on() -> None:
    killer = Killer("planner", made="subgoals")
    report = run(bridge_system.reach_system(seconds=100.0, environment=ENDLESS), killer).report
    assert killer.victim is not None
    assert report["planner"]["restarts"] == 1
    assert report["planner"]["pid"] != killer.victim
    assert report["counters"]["planner_restarts"] == 1
    assert report["processes"]["planner"]["epoch"] == 2
    assert killer.share_of_ticks_served(500.0) > 0.8
    assert "libtorch" not in killer.maps
    assert "_raylet" not in killer.maps


def test_a_standby_that_was_there_before_takes_over() -> None:
    there_before: set[int] = set()
    killer = Killer("planner", made="subgoals")

    def look(progress: Progress) -> None:
        if killer.victim is None:
            there_before.update(bridge_system.processes_of(f"planner_host {FOLDER}"))
        if len(there_before) == 2:
            killer(progress)

    system = bridge_system.reach_system(seconds=100.0, environment=ENDLESS, planner_standbys=1)
    report = run(system, look).report
    assert killer.victim in there_before
    assert report["planner"]["restarts"] == 1
    assert report["planner"]["pid"] in there_before - {killer.victim}
    assert report["counters"]["planner_restarts"] == 1


def test_a_killed_actor_comes_back() -> None:
    killer = Killer("actor", made="chunks")
    report = run(bridge_system.reach_system(seconds=100.0, environment=ENDLESS), killer).report
    assert killer.victim is not None
    assert report["actor"]["restarts"] == 1
    assert report["actor"]["pid"] != killer.victim
    assert report["processes"]["actor"]["chunks"] > 0
    assert killer.share_of_ticks_served(500.0) > 0.8


def test_a_taped_run_is_decided_again_and_a_death_leaves_the_last_seconds(tmp_path: Path) -> None:
    killer = Killer("actor", made="chunks")
    config = bridge_system.reach_system(environment=ENDLESS, seconds=60.0, tape_bytes=4 * 2**20)
    reel = TapeReel(tmp_path / "run.mcap", config.tape_head())
    with TapeDeck(config.tape_head(), record=reel, flights=tmp_path / "flights") as deck:
        result = run_processes(config, run_id=RUN_ID, launcher="subprocess", on_progress=killer, deck=deck)
    head, records = read_tape(tmp_path / "run.mcap")
    whole = replay(head, records)
    assert whole.identical, whole.first_difference
    assert whole.commands == result.report["tick"]["count"]
    assert result.report["tape"]["bytes_lost"] == result.report["tape"]["records_not_written"] == 0
    head, records = read_tape(tmp_path / "flights" / "flight-01-actor.mcap")
    part = replay(head, records)
    assert part.identical, part.first_difference


def test_a_killed_tick_leaves_its_last_seconds(tmp_path: Path) -> None:
    config = bridge_system.reach_system(environment=ENDLESS, seconds=60.0, tape_bytes=4 * 2**20)

    def end_tick(progress: Progress) -> None:
        tick = progress.statuses.get("tick", {})
        if tick.get("running") and tick["count"] > 200:
            kill(tick["pid"])

    deck = TapeDeck(config.tape_head(), record=None, flights=tmp_path)
    with pytest.raises(BridgeError, match="the tick ended with status -9 and left no report"), deck:
        run_processes(config, run_id=RUN_ID, launcher="subprocess", on_progress=end_tick, deck=deck)
    head, records = read_tape(tmp_path / "flight-01-tick.mcap")
    result = replay(head, records)
    assert result.identical, result.first_difference
    assert result.commands > 150


def test_a_tick_that_hangs_ends_the_run_and_leaves_its_last_seconds(tmp_path: Path) -> None:
    config = bridge_system.reach_system(environment=ENDLESS, seconds=60.0, tape_bytes=4 * 2**20, hangs_after_s=2.0)

    def stop_tick(progress: Progress) -> None:
        tick = progress.statuses.get("tick", {})
        if tick.get("running") and tick["count"] > 200:
            os.kill(tick["pid"], signal.SIGSTOP)

    deck = TapeDeck(config.tape_head(), record=None, flights=tmp_path)
    with pytest.raises(BridgeError, match="the tick hung and was killed"), deck:
        run_processes(config, run_id=RUN_ID, launcher="subprocess", on_progress=stop_tick, deck=deck)
    assert replay(*read_tape(tmp_path / "flight-01-tick.mcap")).commands > 150


def test_a_hung_planner_is_killed_and_started_again() -> None:
    hanging = bridge_system.PARTS + "HangingPlanner"
    config = bridge_system.reach_system(seconds=100.0, planner_life=PlannerLifeConfig(hangs_after_s=0.7))
    config = config.model_copy(update={"planner": config.planner.model_copy(update={"name": hanging})})
    report = run(config, Watcher(lambda statuses: statuses["planner"]["epoch"] >= 2)).report
    assert report["planner"]["restarts"] >= 1


def test_a_planner_that_always_fails_is_given_up_and_started_again_while_the_arm_is_driven() -> None:
    config = bridge_system.reach_system(
        seconds=100.0,
        planner=bridge_system.part("failing_planner", failures=["error"]),
        planner_life=PlannerLifeConfig(max_failures=2),
    )
    watcher = Watcher(lambda statuses: statuses["planner"]["epoch"] >= 2 and statuses["tick"]["chunks"] > 0)
    report = run(config, watcher).report
    assert report["planner"]["restarts"] >= 1
    assert report["counters"]["subgoals"] == 0
    assert report["counters"]["requests_null"] == report["counters"]["requests"] > 0


def test_planner_results_that_cannot_be_used_are_refused_and_the_good_ones_pass() -> None:
    failures = ["none", "nan", "shape", "nothing", "error", "none"]  # The first call is the warm-up.
    config = bridge_system.reach_system(planner=bridge_system.part("failing_planner", failures=failures))
    report = run(config).report
    planner = report["processes"]["planner"]
    assert (planner["refused"], planner["failures"]) == (3, 1)
    assert report["counters"]["subgoals"] > 0
    assert report["planner"]["restarts"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planner": bridge_system.part("other_planner")}, "SpecMismatch"),
        ({"planner": bridge_system.part("nobody")}, "has no attribute 'nobody'"),
        ({"environment": bridge_system.part("humanoid")}, "SpecMismatch.*unitree-g1"),
        ({"control_hz": 400.0}, "use --control-hz 500"),
    ],
)
def test_what_cannot_be_set_up_ends_the_run_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BridgeError, match=f"(?s){message}"):
        run(bridge_system.reach_system(**changes))


def test_an_exception_of_the_caller_ends_everything() -> None:
    def fail(progress: Progress) -> None:
        if progress.stage == "running":
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        run(bridge_system.reach_system(seconds=30.0), fail)


DRIVER = """
import signal
import sys
from dualsys.bridge.processes import run_processes
from tests.integration.bridge_system import reach_system
# A shell that runs the tests in the background has its children ignore Ctrl-C; a person's terminal does not.
signal.signal(signal.SIGINT, signal.default_int_handler)
def tell(progress):
    if progress.stage == "running":
        print("running", flush=True)
run_processes(reach_system(seconds=60.0), run_id=sys.argv[1], launcher="subprocess", on_progress=tell)
"""


def start_driver() -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, RUN_ID],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_nothing(number: signal.Signals) -> None:
    with start_driver() as driver:
        assert len(bridge_system.processes_of(str(FOLDER))) == 4
        driver.send_signal(number)
        assert driver.stdout is not None
        driver.stdout.read()
        assert driver.wait(20) != 0


def test_a_killed_supervisor_takes_its_processes_along_and_its_boxes_are_cleaned_up_later() -> None:
    driver = start_driver()
    driver.kill()
    driver.wait()
    assert driver.stdout is not None
    driver.stdout.close()
    deadline = time.monotonic() + 20
    while bridge_system.processes_of(str(FOLDER)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bridge_system.processes_of(str(FOLDER)) == set()
    assert FOLDER.exists()
    assert FOLDER in remove_stale_folders()


def test_two_runs_of_one_name_are_refused() -> None:
    def start_another(progress: Progress) -> None:
        if progress.stage == "running":
            run(bridge_system.reach_system())

    with pytest.raises(BridgeError, match="is alive"):
        run(bridge_system.reach_system(seconds=30.0), start_another)


def test_a_planner_that_never_plans_ends_the_start_with_what_everybody_wrote() -> None:
    planner = bridge_system.part("planner").model_copy(
        update={"name": bridge_system.PARTS + "HangingPlanner", "options": {"good_calls": 0}}
    )
    with pytest.raises(BridgeError, match=r"(?s)not ready within 15 s: .*planner\n.*planner\.log"):
        run(bridge_system.reach_system(planner=planner, ready_within_s=15.0))  # the others are ready by then
