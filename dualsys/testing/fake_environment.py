"""An environment without physics: the fake arm is where it was commanded, and the task is to reach a pose."""

from typing import Any

import numpy as np

from dualsys.clock import SimulatedClock
from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import Command, FloatArray, Observation
from dualsys.testing.fakes import IdealRobot


class ReachEnvironment:
    """Reach a pose to within 0.01 in every joint. The start is drawn from the seed.

    Args:
        embodiment: The arm.
        pose: Where to go `(nu,)`.
        control_dt_s: Time of a step.
        max_steps: The episode is truncated after this many.
    """

    def __init__(
        self, embodiment: EmbodimentSpec, pose: FloatArray, *, control_dt_s: float = 0.02, max_steps: int = 500
    ) -> None:
        self.embodiment = embodiment
        self.control_dt_s = control_dt_s
        self.instruction = "reach the pose"
        self._pose = np.array(pose, dtype=np.float64)
        self._max_steps = max_steps
        self._begin(np.random.default_rng(0))

    def _begin(self, rng: np.random.Generator) -> None:
        start = rng.uniform(-0.5, 0.5, self.embodiment.num_actions)
        self._steps = 0
        self._clock = SimulatedClock()
        self._robot = IdealRobot(self.embodiment, self._clock, start)

    @property
    def success(self) -> bool:
        """Whether every joint is at the pose."""
        position = self.embodiment.position_in(self.observe().state)
        return bool(np.all(np.abs(position - self._pose) < 0.01))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        del options
        self._begin(np.random.default_rng(seed))
        return self.observe().state, {}

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Be at the action one step later."""
        self._robot.command(Command(target=action, stamp_s=self._clock.now_s(), source="actor"))
        self._steps += 1
        self._clock.sleep_until_s(self._steps * self.control_dt_s)
        success = self.success
        return self.observe().state, float(success), success, self._steps >= self._max_steps, {}

    def observe(self) -> Observation:
        """The present moment."""
        return self._robot.observe()

    def close(self) -> None:
        """Nothing to free."""
        self._robot.close()
