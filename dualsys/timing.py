"""When things happen on the virtual clock: rates, delays of every part, and whether the world waits for the models."""

import math
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.bounds import Chance, Positive
from dualsys.delays import Delay
from dualsys.errors import ConfigError

_CONFIG = ConfigDict(extra="forbid")

World = Literal["moves", "frozen"]
"""What the world does while the models think: `moves`, as it does around a robot; `frozen`: it stands still, as in the
evaluations of most published policies."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class LinkConfig:
    """The way between a robot and a planner elsewhere: late, uneven, and at times nothing arrives.

    What is sent later may arrive first: the newest counts, and what it has overtaken is dropped and counted.
    """

    observation_s: Delay = 0.0
    """How long an observation is on its way to the planner (`dualsys.delays`: a number, a distribution, a trace)."""
    observation_drop: Chance = 0.0
    """Share of the observations that never arrive."""
    subgoal_s: Delay = 0.0
    """How long a subgoal is on its way to the robot."""
    subgoal_drop: Chance = 0.0
    """Share of the subgoals that never arrive."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class TimingConfig:
    """Rates of the planner and the tick, and the delays that the virtual clock gives every part.

    The actor's rate is the decision core's (`CoreConfig.actor_hz`), which asks for its chunks. Delays are numbers,
    distributions or traces (`dualsys.delays`), drawn from the episode's seed, each part's apart.
    """

    planner_hz: Positive = 5.0
    """Rate at which the planner is started; starts due while it is busy are skipped and counted."""
    planner_latency_s: Delay = 0.0
    """Simulated time from a planner's start until its subgoal can be used."""
    actor_latency_s: Delay = 0.0
    """Simulated time from an actor's start until its chunk can be used."""
    camera_hz: Positive | None = None
    """Frames a second; None: one at every tick where cameras are late, and else whenever a model looks."""
    camera_delay_s: Delay = 0.0
    """Simulated time from a frame until the models can see it."""
    actuation_delay_s: Delay = 0.0
    """Simulated time from a command until the robot moves by it."""
    link: LinkConfig = LinkConfig()
    """The way to a planner elsewhere and back."""
    control_hz: Positive = 50.0
    """Rate of control ticks."""
    world: World = "moves"
    """`frozen`: the planner and the actor are run at every end of a chunk, one after the other, and take no time."""
    execution_horizon: Annotated[int, Field(ge=1)] | None = None
    """Rows of a chunk that are executed in a frozen world before it is replaced; None: half of them."""

    @property
    def has_late_cameras(self) -> bool:
        """Whether the models see other frames than those of the present moment."""
        return self.camera_hz is not None or self.camera_delay_s != 0.0

    def frozen(self, *, horizon: int, dt_s: float) -> Self:
        """The timing of a frozen world: nothing takes time, the planner plans as often as there is a new chunk.

        Args:
            horizon: Rows of the actor's chunks.
            dt_s: Between two rows.

        Raises:
            ConfigError: more rows are to be executed than there are.
        """
        rows = math.ceil(horizon / 2) if self.execution_horizon is None else self.execution_horizon
        if rows > horizon:
            raise ConfigError(f"execution_horizon {rows} is more than the {horizon} rows of the actor's chunks")
        return replace(
            self,
            planner_hz=1.0 / (rows * dt_s),
            planner_latency_s=0.0,
            actor_latency_s=0.0,
            camera_hz=None,
            camera_delay_s=0.0,
            actuation_delay_s=0.0,
            link=LinkConfig(),
            execution_horizon=rows,
        )
