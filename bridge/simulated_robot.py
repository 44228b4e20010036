"""An environment on the wall clock: the robot that the tick drives when there is no hardware."""

from typing import Any, final

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray


def require_control_rate(environment: Any, control_hz: float) -> None:
    """Raise `ConfigError` where an environment steps at another rate than the tick."""
    if not np.isclose(environment.control_dt_s * control_hz, 1.0):
        raise ConfigError(
            f"the environment steps at {1 / environment.control_dt_s:g} Hz, the tick runs at {control_hz:g} Hz: "
            f"use --control-hz {1 / environment.control_dt_s:g}"
        )


@final
class SimulatedRobot:
    """Steps an environment in real time; the last command holds until the next.

    Args:
        environment: Made with images on demand: the tick never renders.
        control_hz: Ticks a second; the environment must step at this rate.

    Raises `ConfigError` where it steps at another one, or has cameras that no mirror of it could draw.
    """

    def __init__(self, environment: Any, *, control_hz: float) -> None:
        require_control_rate(environment, control_hz)
        self._environment = environment
        self._can_be_drawn = hasattr(environment, "physics_state") and hasattr(environment, "set_state")
        if environment.embodiment.cameras and not self._can_be_drawn:
            raise ConfigError(
                f"{type(environment).__name__} has cameras but no `physics_state` and `set_state`, without which no "
                "other process can draw it: use --mode inline"
            )
        self._state: FloatArray | None = None
        self.stamp_s = 0.0
        """When its state was sensed: the time of the tick's clock that its own time has been moved on to."""
        self.is_over = False
        """Whether the episode has ended."""
        self.succeeded = False
        """Whether the task was solved at any time of the episode."""

    @property
    def embodiment(self) -> EmbodimentSpec:
        """What it senses and takes."""
        embodiment: EmbodimentSpec = self._environment.embodiment
        return embodiment

    def begin(self, seed: int) -> str:
        """Start an episode; its instruction. Whoever moves time on sets `stamp_s`."""
        self._environment.reset(seed=seed)
        self._state = None
        self.is_over = self.succeeded = False
        return str(self._environment.instruction)

    def advance(self, target: FloatArray, steps: int, *, stamp_s: float) -> None:
        """Move time on to `stamp_s` by some control steps under one target `(nu,)`, up to the end of the episode."""
        self.stamp_s = stamp_s
        for _ in range(steps):
            if self.is_over:
                return
            self._state = None
            _, _, terminated, truncated, _ = self._environment.step(target)
            self.is_over = bool(terminated or truncated)
            self.succeeded = self.succeeded or bool(self._environment.success)

    def state(self) -> FloatArray:
        """Proprioception `(nx,)`."""
        if self._state is None:
            self._state = np.asarray(self._environment.observe().state, dtype=np.float64)
        return self._state

    def physics(self) -> FloatArray | None:
        """Enough of the simulator's state to draw it from; None where the environment has nothing to draw."""
        if not self._can_be_drawn:
            return None
        physics: FloatArray = self._environment.physics_state()
        return physics

    def close(self) -> None:
        """Free the environment."""
        self._environment.close()
