"""Systems of loops over local boxes, on a clock that the test moves."""

from typing import Any

import numpy as np

from dualsys.bridge.parts import PartConfig
from dualsys.bridge.system import SystemConfig
from dualsys.clock import SimulatedClock
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.messages import FloatArray, Observation
from dualsys.testing import ReachEnvironment, fake_embodiment

SPEC = SubgoalSpec(num_tokens=4, dim=8)
EMBODIMENT = fake_embodiment()
SEEING = fake_embodiment(cameras=True)


def system(**changes: Any) -> SystemConfig:
    """A system whose parts the test builds itself."""
    values: dict[str, Any] = {
        "environment": PartConfig(name="x:y"),
        "planner": PartConfig(name="x:y"),
        "actor": PartConfig(name="x:y"),
        "embodiment": EMBODIMENT,
        "subgoal": SPEC,
        "seconds": 1.0,
        "control_hz": 100.0,
    }
    return SystemConfig(**(values | changes))


class SteppedClock:
    """Sleeps on time, except where the test says how late it wakes."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(100.0)
        self.late_s: dict[int, float] = {}
        """By number of the sleep, from 0."""
        self.sleeps = 0

    def now_s(self) -> float:
        """Simulated time."""
        return self.clock.now_s()

    def sleep_until_s(self, deadline_s: float) -> None:
        """Jump to the deadline, or past it."""
        self.clock.sleep_until_s(deadline_s + self.late_s.get(self.sleeps, 0.0))
        self.sleeps += 1


class DrawnEnvironment(ReachEnvironment):
    """A fake arm with a camera whose picture is as bright as the arm's first joint is far, and names the seed."""

    def __init__(self, pose: float = 0.4) -> None:
        super().__init__(EMBODIMENT, np.full(3, pose), control_dt_s=0.01)
        self.embodiment: EmbodimentSpec = SEEING
        self.seeds: list[int | None] = []
        self._mirrored: FloatArray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Remember the seed."""
        self.seeds.append(seed)
        self._mirrored = None
        return super().reset(seed=seed, options=options)

    def physics_state(self) -> FloatArray:
        """The joints."""
        return np.array(super().observe().state)

    def set_state(self, physics: FloatArray) -> None:
        """Mirror them."""
        self._mirrored = physics

    def observe(self) -> Observation:
        """With a picture."""
        plain = super().observe()
        state = plain.state if self._mirrored is None else self._mirrored
        image = np.full((4, 6, 3), brightness(float(state[0])), dtype=np.uint8)
        return Observation(stamp_s=plain.stamp_s, state=plain.state, images={"head": image})


def brightness(position: float) -> int:
    """Brightness of the picture of a first joint."""
    return round(100 + 100 * position)
