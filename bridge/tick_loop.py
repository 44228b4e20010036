"""The control tick on the wall clock: sense, decide, limit, command, on an absolute grid.

It never renders, waits for a model, prints or writes a file. Whatever the others do, a command leaves every period.
"""

import gc
import threading
from dataclasses import replace
from typing import Any, final

import numpy as np

from dualsys.bridge.reporter import Reporter
from dualsys.bridge.robot_publisher import RobotPublisher, TickBoxes
from dualsys.bridge.scene import Episode, ScenePose
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.stop_reader import StopReader
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tick_inbox import TickInbox
from dualsys.bridge.tick_log import LogEvent
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.clock import Grid, Ticker
from dualsys.decision import DecisionCore
from dualsys.events import Observed, Retry, Started, Tick
from dualsys.protocols import Clock
from dualsys.recorder import CommandRecorder
from dualsys.safety import SafetyGate
from dualsys.tape import Tape

MAX_CATCH_UP_S = 0.05
"""Simulated time that is made up for after skipped ticks; time beyond it is lost and counted."""
IDLE_PERIOD_S = 0.05


@final
class TickLoop:
    """Drives a simulated robot through episodes until the time is up.

    Args:
        robot: What is driven.
        core: Decides.
        gate: Limits.
        boxes: To and from the other loops.
        clock: Wall clock.
        config: Rates, seed, length of the run.
        reporter: Where a few readings go, a few times a second.
        tape: Gets every command; the core's own records go there, too.
    """

    def __init__(
        self,
        robot: SimulatedRobot,
        core: DecisionCore,
        gate: SafetyGate,
        boxes: TickBoxes,
        clock: Clock,
        config: SystemConfig,
        reporter: Reporter,
        tape: Tape | None = None,
    ) -> None:
        self._robot, self._core, self._gate = robot, core, gate
        self._boxes, self._clock, self._reporter = boxes, clock, reporter
        self._tape = tape
        self._publisher = RobotPublisher(robot, boxes)
        self._config = config
        self._period_s = 1.0 / config.control_hz
        self.measures = TickMeasures()
        self.commands = (
            CommandRecorder(config.max_commands, config.embodiment.num_actions) if config.log_folder else None
        )
        self.events: list[LogEvent] = []
        """What happened between the commands, where there is a log."""
        self.poses: list[ScenePose] = []
        """What a video can be drawn from."""
        self.outcomes: list[bool] = []
        """Success of each finished episode."""
        self.resets = 0
        """Times the next episode was set up."""
        self.ticks_in_resets = 0
        """Deadlines that passed while one was set up."""
        self.steps_lost = 0
        """Control steps of simulated time that were not made up for."""
        self._episode = Episode(number=-1, seed=config.seed - 1, start_s=0.0, instruction="")
        self._target = np.zeros(config.embodiment.num_actions)
        self._inbox = TickInbox(boxes, core, self._note)
        self._stop_reader = StopReader(boxes.stop, core, gate, self._note)

    def prepare(self) -> None:
        """Set up the first episode and show it to the others, who need it to warm up."""
        self._next_episode()

    def note(self, kind: str, **fields: Any) -> None:
        """Have something stand in the log, where there is one."""
        self._note(kind, self._clock.now_s(), **fields)

    def idle(self) -> None:
        """Keep the robot still and its state fresh, until the others are ready."""
        self._robot.stamp_s = self._clock.now_s()
        self._publisher.publish_state()
        self._publisher.publish_pose(self._episode)
        self._reporter.report(lambda: {"ready": True, "running": False})
        self._clock.sleep_until_s(self._clock.now_s() + IDLE_PERIOD_S)

    def run(self, stop: threading.Event) -> None:
        """Tick until the time is up or `stop` is set."""
        self._start_episode()
        grid = Grid(origin_s=self._clock.now_s(), period_s=self._period_s)
        end_s = grid.origin_s + self._config.seconds
        state_ticker = Ticker(Grid(origin_s=grid.origin_s, period_s=1.0 / self._config.state_hz))
        video_ticker = self._make_video_ticker(grid.origin_s)
        index, served, last = 0, 0, grid.index_at(end_s) - 1
        while not stop.is_set() and index <= last:
            deadline_s = grid.point_s(index)
            self._clock.sleep_until_s(deadline_s)
            now_s = self._clock.now_s()
            due = min(grid.index_at(now_s), last)
            behind = max(due - index, 0)
            self.measures.woke(now_s, now_s - deadline_s, behind=behind)
            self._advance(index - served, deadline_s)
            self._tick(now_s)
            if state_ticker.due(now_s):
                self._publisher.publish_state()
                self._publisher.publish_pose(self._episode)
            if video_ticker is not None and video_ticker.due(now_s):
                self._remember_pose()
            self._reporter.report(self._status)
            self.measures.work_us.add((self._clock.now_s() - now_s) * 1e6)
            served, index = index, index + 1 + behind
            if self._robot.is_over:
                self.outcomes.append(self._robot.succeeded)
                self._note("episode_end", now_s, number=self._episode.number, success=self._robot.succeeded)
                if video_ticker is not None:
                    self._remember_pose()
                index = self._change_episode(grid, index, end_s)
                served = index
        if not self.outcomes:
            self.outcomes.append(self._robot.succeeded)
        # Whoever watches for hangs knows by it that the writing of the report is no tick.
        self._reporter.publish(self._status() | {"ended": True})
        report = self.report()
        self._note("end", self._clock.now_s(), success=report["success"], counters=report["counters"])

    def _change_episode(self, grid: Grid, index: int, end_s: float) -> int:
        """Set the next episode up; the index to go on with. Points that pass meanwhile are no misses, but counted."""
        if self._clock.now_s() >= end_s:
            return index
        self._next_episode()
        self._start_episode()
        self.resets += 1
        following = max(index, grid.index_at(self._clock.now_s()) + 1)
        self.ticks_in_resets += following - index
        return following

    def _make_video_ticker(self, origin_s: float) -> Ticker | None:
        hz = self._config.video_hz
        return Ticker(Grid(origin_s=origin_s, period_s=1.0 / hz)) if hz > 0 else None

    def _advance(self, steps: int, deadline_s: float) -> None:
        """Let the simulated time pass that was to pass by a deadline, most of it even after a long stall.

        A state that lags is stamped so: by the time the tick woke late, or by the steps that are lost in this tick.
        """
        most = max(1, int(MAX_CATCH_UP_S / self._period_s))
        lost = max(0, steps - most)
        self.steps_lost += lost
        self._robot.advance(self._target, steps - lost, stamp_s=deadline_s - lost * self._period_s)

    def _tick(self, now_s: float) -> None:
        self._stop_reader.look(now_s, self._robot.state, self._target)
        self._core.handle(Observed(stamp_s=self._robot.stamp_s, state=self._robot.state()))
        self._inbox.look(now_s, self.measures)
        decision = self._core.handle(Tick(now_s=now_s))
        assert decision.command is not None, "the core was started with the episode"
        command = self._gate.limit(decision.command)
        self._target = command.target
        self.measures.planner_age_s.add(now_s - self._inbox.subgoal_stamp_s)
        self.measures.sent(command)
        if self.commands is not None:
            self.commands.record(command)
        if self._tape is not None:
            self._tape.add(command)
        if decision.retry is not None:
            self._begin_anew(decision.retry)
        if decision.request is not None:
            # The state goes first: a chunk is made from the very moment that asked for it.
            self._publisher.publish_state()
            self._boxes.request.write(
                decision.request, sequence=decision.request.sequence, observation_stamp_s=decision.request.stamp_s
            )

    def _next_episode(self) -> None:
        """Set the next episode up. Takes milliseconds."""
        number, seed = self._episode.number + 1, self._episode.seed + 1
        instruction = self._robot.begin(seed)
        if not gc.isenabled():
            # Switched off for the ticks; here is the slack to do it.
            gc.collect()
        start_s = self._robot.stamp_s = self._clock.now_s()
        self._episode = Episode(number=number, seed=seed, start_s=start_s, instruction=instruction)
        self._publisher.publish_episode(self._episode)

    def _start_episode(self) -> None:
        """Let the motion begin, from rest at the pose where the robot is."""
        now_s = self._robot.stamp_s = self._clock.now_s()
        self._inbox.start(now_s)
        position = self._core.embodiment.position_in(self._robot.state())
        self._target = position
        self._gate.reset(position)
        episode = self._episode
        self._core.handle(Started(now_s=now_s, position=position, instruction=episode.instruction))
        self._note("episode", now_s, number=episode.number, seed=episode.seed, instruction=episode.instruction)

    def _begin_anew(self, retry: Retry) -> None:
        """Tell the models that an attempt is over: they forget it, and what they made of it is refused."""
        self._note("retry", retry.now_s, number=retry.number, reason=retry.reason, reaction=retry.reaction)
        if retry.reaction == "give_up":
            return
        self._inbox.start(retry.now_s)
        self._episode = replace(self._episode, start_s=retry.now_s, attempt=retry.number)
        self._publisher.publish_episode(self._episode)

    def _note(self, kind: str, stamp_s: float, **fields: Any) -> None:
        if self.commands is not None:
            self.events.append(LogEvent(stamp_s=stamp_s, kind=kind, fields=fields))

    def _remember_pose(self) -> None:
        pose = self._publisher.pose(self._episode)
        if pose is not None:
            self.poses.append(pose)

    def _status(self) -> dict[str, Any]:
        measures = self.measures
        return {
            "ready": True,
            "running": True,
            "count": measures.ticks.count,
            "hz": measures.ticks.hz,
            "misses": measures.misses,
            "lateness_max_us": measures.lateness_us.maximum if measures.ticks.count else 0.0,
            "subgoals": measures.subgoals.count,
            "planner_hz": measures.subgoals.hz,
            "planner_age_s": _finite(self._clock.now_s() - self._inbox.subgoal_stamp_s),
            "chunks": measures.chunks.count,
            "actor_hz": measures.chunks.hz,
            "limited": dict(measures.limited),
            "stopped": self._core.stopped,
            "recoveries": self._core.status().counts["recoveries"],
            "episodes": len(self.outcomes),
            "successes": sum(self.outcomes),
            "instruction": self._episode.instruction,
        }

    def report(self) -> dict[str, Any]:
        """The run's figures as the tick knows them."""
        episodes, successes = len(self.outcomes), sum(self.outcomes)
        return {
            "success": successes / episodes if episodes else 0.0,
            "episodes": episodes,
            "successes": successes,
            "outcomes": self.outcomes,
            **self.measures.summary(),
            "counters": {
                **self._core.status().counts,
                "resets": self.resets,
                "ticks_in_resets": self.ticks_in_resets,
                "physics_steps_lost": self.steps_lost,
                "commands_not_logged": 0 if self.commands is None else self.commands.overwritten,
            },
        }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
