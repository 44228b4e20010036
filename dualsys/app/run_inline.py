"""`dualsys run --mode inline`: both systems and the robot on a virtual clock; the same bits every time."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from dualsys.app.controller import Controller
from dualsys.app.film import VideoWriter
from dualsys.app.run_config import VIDEO_HZ, RunConfig
from dualsys.app.run_parts import RunParts
from dualsys.bridge.parts import build_actor, build_planner
from dualsys.bridge.process_life import use_one_torch_thread
from dualsys.bridge.progress import IsOver, OnProgress, Progress, never
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.clearance import clearance_of
from dualsys.clock import Grid, Ticker
from dualsys.counters import TIMING_COUNTS
from dualsys.messages import Command
from dualsys.protocols import Rendered
from dualsys.tape import Tape

_PROGRESS_TICKS = 50
_OUTPUTS = frozenset({"video", "log", "json", "record", "flight_recorder"})
"""Settings that name files: not part of what was run, so not in a log that is compared byte for byte."""


def run_inline(
    config: RunConfig,
    environment: Rendered,
    parts: RunParts,
    header: Mapping[str, Any],
    on_progress: OnProgress,
    deck: TapeDeck | None = None,
    is_over: IsOver = never,
) -> dict[str, Any]:
    """Run episodes until the simulated time is up; the figures of the run.

    Args:
        config: The run.
        environment: The robot, made with images on demand.
        parts: Both systems.
        header: Config and versions for the log.
        on_progress: Called now and then.
        deck: Gets everything that a replay needs.
        is_over: Asked at each tick.
    """
    with ExitStack() as stack:
        controller = stack.enter_context(_make_controller(config, parts, environment, deck))
        log = controller.log
        video = stack.enter_context(VideoWriter(config.video, fps=VIDEO_HZ)) if config.video is not None else None
        if log is not None:
            settings = {key: value for key, value in header["config"].items() if key not in _OUTPUTS}
            log.header(config=settings, versions=header["versions"])
        session = _Session(config, environment, controller, video, is_over)
        for progress in session.play():
            on_progress(progress)
        report = session.report()
        if log is not None:
            log.event("end", success=report["success"], counters=report["counters"])
        return report if deck is None else report | {"tape": deck.report()}


def _make_controller(config: RunConfig, parts: RunParts, environment: Any, tape: Tape | None) -> Controller:
    actor = build_actor(parts.actor, parts.embodiment, parts.subgoal)
    planner = build_planner(parts.planner, actor.subgoal_spec)
    use_one_torch_thread()
    return Controller(
        planner,
        actor,
        timing=config.timing(),
        core=config.decided_core(),
        safety=config.safety,
        log=config.log,
        tape=tape,
        clearance=clearance_of(environment, config.safety),
        image=config.image,
    )


class _Session:
    """Episodes one after the other, and what is measured of them."""

    def __init__(
        self,
        config: RunConfig,
        environment: Rendered,
        controller: Controller,
        video: VideoWriter | None,
        is_over: IsOver,
    ) -> None:
        self._config, self._environment, self._controller = config, environment, controller
        self._driver, self._log, self._video = controller.driver, controller.log, video
        self._measures = TickMeasures()
        self._is_over = is_over
        self._most_ticks = round(config.seconds * config.control_hz)
        self._outcomes: list[bool] = []
        self._succeeded = False
        self._ticks = 0
        self._seen_subgoal: tuple[int, int] | None = None
        self._seen_chunk = -1

    def play(self) -> Iterator[Progress]:
        """Run until the time is up."""
        while self._goes_on():
            yield from self._play_episode(self._config.seed + len(self._outcomes))
        if not self._outcomes:
            self._outcomes.append(self._succeeded)

    def _goes_on(self) -> bool:
        return self._ticks < self._most_ticks and not self._is_over()

    def _play_episode(self, seed: int) -> Iterator[Progress]:
        self._environment.reset(seed=seed)
        self._controller.reset(seed=seed)
        instruction, number = self._environment.instruction, len(self._outcomes)
        self._event("episode", number=number, seed=seed, instruction=instruction)
        film = Ticker(Grid(origin_s=0.0, period_s=1.0 / VIDEO_HZ))
        self._succeeded = over = False
        while not over and self._goes_on():
            observation = self._environment.observe()
            command = self._controller.step(observation)
            self._measure(command)
            if self._video is not None and film.due(observation.stamp_s):
                self._video.add(self._environment.render(), self._caption(instruction))
            _, _, terminated, truncated, _ = self._environment.step(command.target)
            over = bool(terminated or truncated)
            self._succeeded = self._succeeded or bool(self._environment.success)
            self._ticks += 1
            if self._ticks % _PROGRESS_TICKS == 0:
                yield self._progress(instruction)
        if over:
            self._outcomes.append(self._succeeded)
            self._event("episode_end", number=number, success=self._succeeded)
        if self._video is not None:
            for _ in range(VIDEO_HZ // 2):
                self._video.add(self._environment.render(), self._caption(instruction))

    def _measure(self, command: Command) -> None:
        # Every tick is on time: the clock waits for it.
        now_s = self._ticks / self._config.control_hz
        self._measures.woke(now_s, 0.0, behind=0)
        self._measures.sent(command)
        subgoal = self._driver.newest_subgoal
        self._measures.planner_age_s.add(math.inf if subgoal is None else subgoal.age_s(command.stamp_s))
        if subgoal is not None and (subgoal.epoch, subgoal.sequence) != self._seen_subgoal:
            self._seen_subgoal = (subgoal.epoch, subgoal.sequence)
            self._measures.subgoals.add(now_s)
        if command.chunk_sequence > self._seen_chunk:
            self._seen_chunk = command.chunk_sequence
            self._measures.chunks.add(now_s)

    def _caption(self, instruction: str) -> str:
        subgoal = self._driver.newest_subgoal
        step = f"   > {subgoal.text}" if subgoal is not None and subgoal.text else ""
        return f"{instruction}{step}   [{'success' if self._succeeded else 'episode'} {len(self._outcomes) + 1}]"

    def _event(self, kind: str, **fields: Any) -> None:
        if self._log is not None:
            self._log.event(kind, **fields)

    def _progress(self, instruction: str) -> Progress:
        measures = self._measures
        tick = {
            "count": measures.ticks.count,
            "hz": self._config.control_hz,
            "misses": 0,
            "planner_hz": measures.subgoals.hz,
            "actor_hz": measures.chunks.hz,
            "limited": dict(measures.limited),
            "stopped": self._driver.core.stopped,
            "recoveries": self._driver.core.status().counts["recoveries"],
            "episodes": len(self._outcomes),
            "successes": sum(self._outcomes),
            "instruction": instruction,
        }
        seconds = self._ticks / self._config.control_hz
        statuses: dict[str, dict[str, Any]] = {"tick": tick, "actor": dict(self._driver.images.counts())}
        return Progress(stage="running", seconds=seconds, statuses=statuses)

    def report(self) -> dict[str, Any]:
        """Figures of the run so far, as they go into its JSON."""
        episodes, successes = len(self._outcomes), sum(self._outcomes)
        summary = self._measures.summary()
        summary["planner"] |= {"pid": os.getpid(), "restarts": 0}
        return {
            "success": successes / episodes if episodes else 0.0,
            "episodes": episodes,
            "successes": successes,
            "outcomes": self._outcomes,
            **summary,
            "processes": {"actor": self._driver.images.counts()},
            "counters": {
                **self._driver.core.status().counts,
                **{name: self._driver.counts[name] for name in TIMING_COUNTS},
            },
        }
