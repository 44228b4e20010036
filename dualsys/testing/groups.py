"""A small robot with groups of their own rates, and an actor that moves each by a formula."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from dualsys.action_groups import chunk_rows
from dualsys.embodiment import EmbodimentSpec, Joint, JointGroup, SubgoalSpec
from dualsys.messages import ActionChunk, ActionPrefix, FloatArray, LatentSubgoal, Observation

Motion = Callable[[float], FloatArray]
"""Values of a group's joints at a time."""


def mobile_embodiment(*, base_horizon: int | None = None) -> EmbodimentSpec:
    """Two arm joints at the chunk's rate (50 Hz, 32 rows), a hand at 25 Hz, a base that is given velocities at 10 Hz.

    Args:
        base_horizon: Rows of the base in a chunk; None: as many as fit.
    """
    arms = [Joint(name=name, lower=-1, upper=1, max_velocity=2, max_acceleration=20) for name in ("left", "right")]
    hand = Joint(name="hand", lower=-1, upper=1, max_velocity=2, max_acceleration=20)
    base = [
        Joint(name="forward", lower=-1, upper=1, max_velocity=4, unit="m/s"),
        Joint(name="turn", lower=-1, upper=1, max_velocity=4, unit="rad/s"),
    ]
    return EmbodimentSpec(
        name="mobile",
        joints=(*arms, hand, *base),
        state_names=("left", "right", "hand"),
        groups=(
            JointGroup(name="arms", joints=("left", "right")),
            JointGroup(name="hands", joints=("hand",), rate_hz=25),
            JointGroup(name="base", joints=("forward", "turn"), rate_hz=10, horizon=base_horizon),
        ),
    )


def mobile_motions() -> dict[str, Motion]:
    """Slow sines for the groups of `mobile_embodiment`, within its limits."""
    return {
        "arms": lambda t: 0.4 * np.array([math.sin(t), math.cos(t)]),
        "hands": lambda t: np.array([0.5 + 0.3 * math.sin(2 * t)]),
        "base": lambda t: 0.3 * np.array([math.sin(t), math.cos(2 * t)]),
    }


class GroupActor:
    """Row `i` of each group is its motion at the observation's time and `i` of the group's periods.

    Args:
        embodiment: The robot; its groups hold every joint once.
        subgoal_spec: What it accepts, and leaves unread.
        motions: By group.
        seconds: Length of a chunk; groups whose horizon is shorter get fewer rows.
        dt_s: Time between the chunk's rows.
    """

    def __init__(
        self,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        motions: Mapping[str, Motion],
        *,
        seconds: float = 0.64,
        dt_s: float = 0.02,
    ) -> None:
        self.embodiment = embodiment
        self.subgoal_spec = subgoal_spec
        self.horizon = round(seconds / dt_s)
        self.dt_s = dt_s
        self._motions = dict(motions)

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget."""
        del seed

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Chunk of all groups' rows."""
        del subgoal, prefix
        start_s = observation.stamp_s
        groups = {}
        for group in self.embodiment.groups:
            stride = 1 if group.rate_hz is None else round(1.0 / (group.rate_hz * self.dt_s))
            count = 1 + (self.horizon - 1) // stride
            count = min(count, group.horizon or count)
            motion = self._motions[group.name]
            groups[group.name] = np.stack([motion(start_s + row * stride * self.dt_s) for row in range(count)])
        rows = chunk_rows(self.embodiment, groups, self.dt_s)
        return ActionChunk(rows=rows, dt_s=self.dt_s, start_stamp_s=start_s)
