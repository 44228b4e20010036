"""A task as a robot: it moves while the clock does, whether it is commanded or not."""

from typing import final

import numpy as np

from dualsys.clock import MonotonicClock
from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import Command, Observation
from dualsys.protocols import Clock
from dualsys.sim_envs.making import make

MAX_LAG_S = 1.0
"""Simulated time that is made up for at once, when nobody asked for long; time beyond it is lost and counted."""
_ROUNDING = 1e-6


@final
class TaskRobot:
    """What the entry point `simulated` of the group `dualsys.robots` names: for loops written for hardware.

    with dualsys.Controller.from_checkpoint("humanoid-table") as controller:
        while not robot.is_over:
            robot.command(controller.step(robot.observe()))

    Each call first lets as much simulated time pass as has passed on the clock, under the last target; before the first
    command the robot stays where it is. An episode that ends leaves it standing.

    Args:
        task: Any task of `dualsys list`.
        seed: Of its scene.
        control_hz: Rate at which targets are looked at; None: the task's own.
        clock: What observations are stamped with.

    Raises:
        ConfigError: the task is unknown, or can't be run at that rate.
        ExtraMissing: its suite needs an optional dependency that is not installed.
    """

    def __init__(
        self,
        task: str = "humanoid/touch",
        *,
        seed: int = 0,
        control_hz: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._environment = make(task, seed=seed, control_hz=control_hz, images="on-demand")
        self._environment.reset(seed=seed)
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        embodiment = self._environment.embodiment
        position = embodiment.position_in(self._environment.observe().state)
        self._target = np.clip(position, embodiment.lower, embodiment.upper)
        self._reached_s = self._clock.now_s()
        self.seconds_lost = 0.0
        """Time on the clock that was not simulated."""
        self.is_over = False
        """Whether the task's episode has ended."""

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The task's."""
        return self._environment.embodiment

    @property
    def success(self) -> bool:
        """Whether the task is solved."""
        return self._environment.success

    def observe(self) -> Observation:
        """The present moment on the robot's clock. Images are drawn when read, until the next call that moves it."""
        self._pass_time()
        seen = self._environment.observe()
        return Observation(stamp_s=self._reached_s, state=seen.state, images=seen.images, instruction=seen.instruction)

    def command(self, command: Command) -> None:
        """Go for a target from now on."""
        self._pass_time()
        self._target = np.array(command.target, dtype=np.float64)

    def close(self) -> None:
        """Free the renderer. Idempotent."""
        self._environment.close()

    def _pass_time(self) -> None:
        now_s, step_s = self._clock.now_s(), self._environment.control_dt_s
        lost_s = now_s - self._reached_s - MAX_LAG_S
        if lost_s > 0:
            self.seconds_lost += lost_s
            self._reached_s += lost_s
        for _ in range(int((now_s - self._reached_s) / step_s + _ROUNDING)):
            self._reached_s += step_s
            if not self.is_over:
                _, _, terminated, truncated, _ = self._environment.step(self._target)
                self.is_over = bool(terminated or truncated)
