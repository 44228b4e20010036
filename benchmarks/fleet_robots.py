"""Robots for `benchmarks.fleet`: each has a run's mailboxes, real frames of a scene of its own, and a relay."""

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Self, final

import numpy as np

from dualsys.app.run import make_environment, system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_parts import checkpoint_parts
from dualsys.bridge.assembly import make_senses
from dualsys.bridge.boxes import EPISODE, STATE, SharedBoxes, camera_boxes, status_box, subgoal_box
from dualsys.bridge.frames import WIRE_VERSION
from dualsys.bridge.relay import Relay
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.scene import CameraFrame, Episode
from dualsys.bridge.server_line import ServerLine
from dualsys.bridge.system import SystemConfig
from dualsys.checkpoint import Checkpoint
from dualsys.clock import Grid, MonotonicClock, Ticker
from dualsys.messages import Observation

STATE_HZ = 50.0
_SAMPLE_HZ = 100.0
_FRAMES = 4
"""Different looks of a scene, shown in turns."""


def record_scenes(task: str, checkpoint: str, count: int) -> tuple[list[list[Observation]], SystemConfig]:
    """Looks at scenes of a task through the cameras of a checkpoint's robot, and a run's configuration."""
    options = RunConfig(task=task, checkpoint=checkpoint, mode="processes", control_hz=50.0)
    environment = make_environment(options)
    try:
        scenes = []
        for number in range(count):
            environment.reset(seed=8000 + number)
            looks = []
            for _ in range(_FRAMES):
                observation = environment.observe()
                state, images = (
                    np.array(observation.state),
                    {name: np.array(i) for name, i in observation.images.items()},
                )
                looks.append(
                    Observation(stamp_s=0.0, state=state, images=images, instruction=str(environment.instruction))
                )
                for _ in range(5):
                    environment.step(environment.embodiment.position_in(state))
            scenes.append(looks)
        config = system_config(options, checkpoint_parts(options, Checkpoint.open(checkpoint)), log=None)
        return scenes, config.model_copy(update={"subgoal_capacity": 2**17})
    finally:
        environment.close()


@dataclass(slots=True, kw_only=True)
class Readings:
    """What one robot has had."""

    ages_s: list[float] = field(default_factory=list)
    """Of its newest subgoal, sampled at a steady rate."""
    subgoals: int = 0


@final
class Robot:
    """One robot; a context manager that joins a server and leaves it.

    Args:
        name: Of the robot.
        looks: What it sees, in turns.
        config: A run's.
        line: To the server.
        planner_hz: Observations a second that its relay sends.
        camera_hz: Images a second.
        phase: Share of a period by which it is behind the others.
    """

    def __init__(
        self,
        name: str,
        looks: list[Observation],
        config: SystemConfig,
        line: ServerLine,
        *,
        planner_hz: float,
        camera_hz: float,
        phase: float,
    ) -> None:
        self._name = name
        self._looks = cycle(looks)
        self._config = config
        self._line = line
        self._planner_hz = planner_hz
        self._camera_hz = camera_hz
        self._phase_s = phase / planner_hz
        self._stop = threading.Event()
        self._measures = False
        self._first = -1
        self._clock = MonotonicClock()
        self._stack = ExitStack()
        self.readings = Readings()
        self.failures = 0

    def __enter__(self) -> Self:
        """Make its boxes, begin to see, join."""
        folder = self._stack.enter_context(RunFolder(f"{self._name}-{os.getpid()}"))
        boxes, config = SharedBoxes(folder.path), self._config
        boxes.create(config)
        self._subgoals = boxes.reader(subgoal_box(config))
        self._episode, self._state = boxes.writer(EPISODE), boxes.writer(STATE)
        self._cameras = {name: boxes.writer(spec) for name, spec in camera_boxes(config).items()}
        self._relay = Relay(
            self._line,
            {
                "robot": self._name,
                "key": str(os.getpid()),
                "wire": WIRE_VERSION,
                "embodiment": config.embodiment.model_dump(mode="json"),
            },
            senses=make_senses(config, boxes),
            adopt=lambda: boxes.writer(subgoal_box(config)),
            reporter=Reporter(boxes.writer(status_box("planner")), self._clock),
            clock=self._clock,
            hz=self._planner_hz,
            spec=config.subgoal,
            check=lambda hello: hello.problem(config.subgoal, None) or "",
        )
        self._status = boxes.reader(status_box("planner"))
        threads = [threading.Thread(target=body, daemon=True) for body in (self._see, self._relay_on)]
        for thread in threads:
            thread.start()
            self._stack.callback(thread.join, 10.0)
        self._stack.callback(self._stop.set)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.failures = int((self._status.read() or {}).get("failures", 0))
        self._stack.close()

    def await_subgoals(self, count: int, *, within_s: float) -> None:
        """Wait until it has had so many. Raises `TimeoutError`."""
        until_s = self._clock.now_s() + within_s
        while self._subgoals.last_sequence < count - 1:
            if self._clock.now_s() > until_s:
                raise TimeoutError(f"{self._name} has had {self._subgoals.last_sequence + 1} subgoals in {within_s} s")
            self._stop.wait(0.05)

    def measure(self, measures: bool) -> None:
        """Begin or end to count."""
        self._measures = measures
        if measures:
            self._first = self._subgoals.last_sequence
        else:
            self.readings.subgoals = self._subgoals.last_sequence - self._first

    def _relay_on(self) -> None:
        self._stop.wait(self._phase_s)
        self._relay.run(self._stop)

    def _see(self) -> None:
        """Publish states and images, and look how old the newest subgoal is."""
        now_s = self._clock.now_s()
        look = next(self._looks)
        self._episode.write(
            Episode(number=0, seed=0, start_s=now_s, instruction=look.instruction),
            sequence=0,
            observation_stamp_s=now_s,
        )
        tickers = [Ticker(Grid(origin_s=now_s, period_s=1 / hz)) for hz in (_SAMPLE_HZ, STATE_HZ, self._camera_hz)]
        sample, state, camera = tickers
        number = 0
        while not self._stop.is_set():
            now_s, number = self._clock.now_s(), number + 1
            if camera.due(now_s):
                look = next(self._looks)
                for name, box in self._cameras.items():
                    frame = CameraFrame(stamp_s=now_s, episode=0, image=look.images[name])
                    box.write(frame, sequence=number, observation_stamp_s=now_s)
            if state.due(now_s):
                observation = Observation(stamp_s=now_s, state=look.state)
                self._state.write(observation, sequence=number, observation_stamp_s=now_s)
            if sample.due(now_s) and self._measures:
                stamps = self._subgoals.peek()
                if stamps is not None:
                    self.readings.ages_s.append(now_s - stamps.observation_stamp_s)
            self._stop.wait(max(0.0, min(ticker.next_s for ticker in tickers) - self._clock.now_s()))


def percentiles(values: list[float]) -> dict[str, Any]:
    """Median, 99th percentile and largest; None where there is nothing."""
    if not values:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "max": max(values)}
