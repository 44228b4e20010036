"""The tick's loop, on a clock the test moves: every deadline is accounted for, and nobody is waited for."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.boxes import CHUNK, EPISODE, OFFERS, POSE, REQUEST, STATE, STOP, LocalBoxes, status_box, subgoal_box
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.robot_publisher import TickBoxes
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.tick_log import write_tick_log
from dualsys.bridge.tick_loop import TickLoop
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.errors import BridgeError, ConfigError
from dualsys.events import Observed, Tick
from dualsys.messages import ActionChunk, LatentSubgoal
from dualsys.safety import SafetyGate
from dualsys.telemetry import read_log
from dualsys.testing import ReachEnvironment
from tests.unit.bridge.loop_parts import EMBODIMENT, SPEC, DrawnEnvironment, SteppedClock, system


class Bench:
    """A tick loop with its boxes in reach."""

    def __init__(self, environment: Any = None, **changes: Any) -> None:
        self.config = system(**changes)
        self.boxes, self.clock = LocalBoxes(), SteppedClock()
        self.environment = environment or ReachEnvironment(EMBODIMENT, np.full(3, 2.0), control_dt_s=0.01)
        self.loop = TickLoop(
            SimulatedRobot(self.environment, control_hz=self.config.control_hz),
            DecisionCore(EMBODIMENT, self.config.core, SkipByDelay()),
            SafetyGate(EMBODIMENT, 0.01, self.config.safety),
            TickBoxes(
                episode=self.boxes.writer(EPISODE),
                state=self.boxes.writer(STATE),
                pose=self.boxes.writer(POSE),
                request=self.boxes.writer(REQUEST),
                subgoal=self.boxes.reader(subgoal_box(self.config)),
                chunk=self.boxes.reader(CHUNK),
                offers={name: self.boxes.reader(spec) for name, spec in OFFERS.items()},
                stop=self.boxes.reader(STOP),
            ),
            self.clock,
            self.config,
            Reporter(self.boxes.writer(status_box("tick")), self.clock),
        )
        self.loop.prepare()

    def run(self) -> dict[str, Any]:
        self.loop.run(threading.Event())
        return self.loop.report()


def test_ticks_on_time_are_all_served() -> None:
    bench = Bench()
    report = bench.run()
    assert report["tick"]["count"] == 100
    assert (report["tick"]["misses"], report["tick"]["skipped"]) == (0, 0)
    assert report["tick"]["hz"] == pytest.approx(100)
    assert report["counters"]["ticks"] == 100
    state = bench.boxes.reader(STATE).read()
    assert state is not None
    assert state.stamp_s == pytest.approx(100.99)


def test_that_its_ticks_are_over_is_told_when_they_are_and_not_before() -> None:
    told: list[bool] = []

    class Telling(ReachEnvironment):
        def step(self, action: Any) -> Any:
            told.append("ended" in (bench.boxes.reader(status_box("tick")).read() or {}))
            return super().step(action)

    bench = Bench(Telling(EMBODIMENT, np.full(3, 2.0), control_dt_s=0.01))
    bench.run()
    assert told == [False] * len(told)
    assert len(told) > 50
    assert (bench.boxes.reader(status_box("tick")).read() or {})["ended"] is True


def test_late_ticks_are_misses_and_passed_deadlines_are_skipped_not_replayed() -> None:
    bench = Bench()
    bench.clock.late_s = {10: 0.009, 20: 0.013, 30: 0.035}
    report = bench.run()
    # 9 ms is within the period; 13 ms misses one deadline and skips the next; 35 ms misses one and skips three.
    assert report["tick"]["skipped"] == 1 + 3
    assert report["tick"]["misses"] == 2 + 4
    assert report["tick"]["count"] == 100 - 4
    assert report["tick"]["lateness_us"]["max"] == pytest.approx(35_000)
    assert report["counters"]["physics_steps_lost"] == 0


def test_a_stall_at_the_end_counts_no_deadline_beyond_it() -> None:
    bench = Bench()
    bench.clock.late_s = {95: 3.0}
    report = bench.run()
    assert (report["tick"]["count"], report["tick"]["skipped"]) == (96, 4)


def test_simulated_time_keeps_up_with_the_clock_and_time_beyond_reason_is_lost_and_counted() -> None:
    bench = Bench()
    bench.clock.late_s = {50: 0.205}
    report = bench.run()
    assert report["tick"]["skipped"] == 20
    # After the stall 21 steps are due; 50 ms of them are made up for, the state lags by the rest.
    assert report["counters"]["physics_steps_lost"] == 16
    simulated_s = bench.environment.observe().stamp_s
    assert simulated_s == pytest.approx(0.99 - 0.16)


def test_a_state_that_lags_is_as_old_as_it_is() -> None:
    """A stall of 205 ms: the tick that wakes late has the state of its deadline, the next one lacks 16 lost steps."""
    bench = Bench()
    bench.clock.late_s = {50: 0.205}
    handle, ages_s, stamp_s = bench.loop._core.handle, [], [0.0]

    def look(event: Any) -> Any:
        if isinstance(event, Observed):
            stamp_s[0] = event.stamp_s
        elif isinstance(event, Tick):
            ages_s.append(event.now_s - stamp_s[0])
        return handle(event)

    bench.loop._core.handle = look  # type: ignore[method-assign]
    report = bench.run()
    assert ages_s[49:53] == pytest.approx([0.0, 0.205, 0.16, 0.0], abs=1e-6)
    assert max(ages_s[:50] + ages_s[52:]) == pytest.approx(0.0, abs=1e-6)
    assert report["counters"]["observations_refused"] == 0


def test_episodes_follow_one_another_and_an_unfinished_one_is_not_counted() -> None:
    bench = Bench(ReachEnvironment(EMBODIMENT, np.full(3, 2.0), control_dt_s=0.01, max_steps=30))
    report = bench.run()
    assert report["episodes"] == 3
    assert report["outcomes"] == [False] * 3
    assert report["counters"]["resets"] == 3
    episode = bench.boxes.reader(EPISODE).read()
    assert episode is not None
    assert (episode.number, episode.seed) == (3, 3)


def test_a_run_shorter_than_an_episode_counts_what_there_is() -> None:
    report = Bench().run()
    assert (report["episodes"], report["success"]) == (1, 0.0)


def test_time_for_a_reset_is_no_miss_but_counted() -> None:
    environment = ReachEnvironment(EMBODIMENT, np.full(3, 2.0), control_dt_s=0.01, max_steps=50)
    bench = Bench(environment)
    reset = environment.reset

    def slow_reset(**arguments: Any) -> Any:
        bench.clock.clock.sleep_until_s(bench.clock.now_s() + 0.095)
        return reset(**arguments)

    environment.reset = slow_reset  # type: ignore[method-assign]
    report = bench.run()
    assert report["counters"]["ticks_in_resets"] == 9
    assert report["tick"]["misses"] == 0
    assert report["tick"]["count"] == 100 - 9


def subgoal(stamp_s: float, sequence: int = 0) -> LatentSubgoal:
    return LatentSubgoal(tokens=np.zeros((4, 8), dtype=np.float32), observation_stamp_s=stamp_s, sequence=sequence)


def test_requests_go_out_with_the_state_of_their_moment_and_chunks_are_played() -> None:
    bench = Bench()
    boxes, asked = bench.boxes, []
    requests, state = boxes.reader(REQUEST), boxes.reader(STATE)
    chunks, subgoals = boxes.writer(CHUNK), boxes.writer(subgoal_box(bench.config))
    sleep = bench.clock.sleep_until_s

    def answer_while_it_sleeps(deadline_s: float) -> None:
        request, observation = requests.read(), state.read()
        if request is not None and request.sequence > chunks.last_sequence:
            assert observation is not None
            assert observation.stamp_s == request.stamp_s
            asked.append(request)
            rows = np.linspace(observation.state, observation.state + 0.1, 32)
            chunk = ActionChunk(
                rows=rows, dt_s=0.02, start_stamp_s=request.stamp_s, sequence=request.sequence, request=request.sequence
            )
            chunks.write(chunk, sequence=request.sequence, observation_stamp_s=request.stamp_s)
        now_s = bench.clock.now_s()
        if now_s > 100.1 and subgoals.last_sequence < 0:
            subgoals.write(subgoal(now_s), sequence=0, observation_stamp_s=now_s)
        sleep(deadline_s)

    bench.clock.sleep_until_s = answer_while_it_sleeps  # type: ignore[method-assign]
    report = bench.run()
    assert len(asked) == report["actor"]["count"] >= 8
    assert [request.use_subgoal for request in asked] == [True] * len(asked)
    assert report["counters"]["chunks"] == len(asked)
    assert report["planner"]["age_s"]["max"] == pytest.approx(0.89, abs=0.02)
    assert not report["limited"].get("finite")
    assert bench.environment.observe().state[0] > -0.4


def test_subgoals_and_chunks_of_an_earlier_episode_are_left_alone() -> None:
    bench = Bench()
    subgoals = bench.boxes.writer(subgoal_box(bench.config))
    subgoals.write(subgoal(50.0), sequence=0, observation_stamp_s=50.0)
    report = bench.run()
    assert report["counters"]["subgoals"] == report["counters"]["subgoals_refused"] == 0


def test_poses_are_remembered_for_a_video_and_published_for_the_cameras() -> None:
    from tests.unit.bridge.loop_parts import SEEING

    bench = Bench(DrawnEnvironment(pose=2.0), embodiment=SEEING, video_hz=20.0)
    bench.run()
    assert len(bench.loop.poses) == 20
    assert bench.boxes.reader(POSE).read() is not None
    np.testing.assert_allclose(np.diff([pose.stamp_s for pose in bench.loop.poses]), 0.05)


def test_the_last_pose_of_an_episode_is_remembered_for_the_video() -> None:
    from tests.unit.bridge.loop_parts import SEEING

    environment = DrawnEnvironment(pose=2.0)
    environment._max_steps = 33
    bench = Bench(environment, embodiment=SEEING, video_hz=20.0)
    bench.run()
    assert bench.loop.outcomes == [False] * 2
    last = [pose for pose in bench.loop.poses if pose.episode == 0][-1]
    assert last.stamp_s == pytest.approx(100.33)


def test_an_environment_that_cannot_be_mirrored_or_steps_at_another_rate_is_refused() -> None:
    class Blind(DrawnEnvironment):
        set_state = None  # type: ignore[assignment]

    environment = Blind()
    del Blind.set_state
    Blind.physics_state = property(lambda self: self.missing)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="no `physics_state`"):
        SimulatedRobot(environment, control_hz=100)
    with pytest.raises(ConfigError, match="use --control-hz 100"):
        SimulatedRobot(DrawnEnvironment(), control_hz=500)


def test_a_stopped_loop_ends_at_once() -> None:
    bench = Bench()
    stop = threading.Event()
    stop.set()
    bench.loop.run(stop)
    assert bench.loop.report()["tick"]["count"] == 0


def test_commands_are_recorded_where_there_is_a_log(tmp_path: Any) -> None:
    bench = Bench(log_folder=tmp_path)
    bench.run()
    assert bench.loop.commands is not None
    commands = list(bench.loop.commands.commands())
    assert len(commands) == 100
    assert commands[0].source == "start"
    assert SPEC.num_tokens == 4


def test_the_log_tells_of_episodes_faults_and_the_end_in_the_order_of_time(tmp_path: Path) -> None:
    bench = Bench(ReachEnvironment(EMBODIMENT, np.full(3, 2.0), control_dt_s=0.01, max_steps=40), log_folder=tmp_path)
    chunks = bench.boxes.reader(CHUNK)
    chunk = ActionChunk(rows=np.zeros((4, 3)), dt_s=0.02, start_stamp_s=100.0)
    bench.boxes.writer(CHUNK).write(chunk, sequence=0, observation_stamp_s=100.0)

    def read_broken() -> Any:
        raise BridgeError("a malformed frame")

    chunks.read = read_broken  # type: ignore[method-assign]
    report = bench.run()
    assert bench.loop.commands is not None
    write_tick_log(tmp_path, bench.loop.commands, bench.loop.events)
    lines = read_log(tmp_path / "commands.jsonl")
    assert [line["kind"] for line in lines if line["kind"] != "command"] == [
        "episode", "fault", "episode_end", "episode", "episode_end", "episode", "end",
    ]  # fmt: skip
    stamps_s = [line["stamp_s"] for line in lines]
    assert stamps_s == sorted(stamps_s)
    assert lines[-1]["counters"] == report["counters"]
    assert lines[0]["number"] == 0
    assert sum(line["kind"] == "command" for line in lines) == 100
