"""The cameras' loop: newest pose in, images out, drawn in an environment of its own so that the tick never renders."""

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.scene import CameraFrame, ScenePose
from dualsys.clock import Grid, Ticker
from dualsys.protocols import Clock, Mirrored
from dualsys.telemetry import RunLog


class CameraLoop:
    """Draws each camera from the newest pose.

    Args:
        environment: A mirror of the robot's: the same task, reset with the pose's seed.
        poses: Where poses come from.
        outboxes: Where images go, by camera.
        reporter: Where counters go.
        clock: Time of the grid.
        hz: Images a second of each camera.
        log: Gets a line for each picture, where there is one.
    """

    def __init__(
        self,
        environment: Mirrored,
        *,
        poses: Mailbox[ScenePose],
        outboxes: Mapping[str, Mailbox[CameraFrame]],
        reporter: Reporter,
        clock: Clock,
        hz: float,
        log: RunLog | None = None,
    ) -> None:
        self._environment = environment
        self._poses = poses
        self._outboxes = outboxes
        self._reporter = reporter
        self._clock = clock
        self._log = log
        self._period_s = 1.0 / hz
        self._episode: int | None = None
        self._drawn = -1
        self._sequences = {name: box.last_sequence for name, box in outboxes.items()}
        self._counts = {"frames": 0, "skipped": 0}

    def run(self, stop: threading.Event) -> None:
        """Draw until told to stop, then close the log."""
        ticker = Ticker(Grid(origin_s=self._clock.now_s(), period_s=self._period_s))
        with nullcontext() if self._log is None else self._log:
            while not stop.is_set():
                if ticker.due(self._clock.now_s()):
                    self.step()
                self._counts["skipped"] = ticker.skipped
                self._reporter.report(self._status)
                stop.wait(max(0.0, ticker.next_s - self._clock.now_s()))

    def step(self) -> bool:
        """Draw the newest pose, once; whether there was a new one."""
        stamps = self._poses.peek()
        if not self._outboxes or stamps is None or stamps.sequence == self._drawn:
            return False
        pose = self._poses.read()
        assert pose is not None
        self._drawn = stamps.sequence
        if pose.episode != self._episode:
            self._environment.reset(seed=pose.seed)
            self._episode = pose.episode
        self._environment.set_state(pose.physics)
        images = self._environment.observe().images
        for name, box in self._outboxes.items():
            self._sequences[name] += 1
            frame = CameraFrame(stamp_s=pose.stamp_s, episode=pose.episode, image=images[name])
            box.write(frame, sequence=self._sequences[name], observation_stamp_s=pose.stamp_s)
        self._counts["frames"] += 1
        if self._log is not None:
            self._log.event("frame", stamp_s=pose.stamp_s, ready_stamp_s=self._clock.now_s())
        return True

    def _status(self) -> dict[str, Any]:
        return {"ready": self._counts["frames"] > 0 or not self._outboxes, **self._counts}
