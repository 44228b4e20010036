"""Actors without weights: the baseline and the stand-in when only the planner is under study."""

from typing import Self

import numpy as np

from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation


class HoldActor:
    """Holds the pose it sees: every row is the present position of the commanded joints."""

    def __init__(
        self, embodiment: EmbodimentSpec, subgoal_spec: SubgoalSpec, *, horizon: int = 32, dt_s: float = 0.02
    ) -> None:
        self._embodiment = embodiment
        self._subgoal_spec = subgoal_spec
        self._horizon = horizon
        self._dt_s = dt_s

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """For the robot and subgoals of a checkpoint; its weights are not read."""
        return cls(checkpoint.manifest.embodiment, checkpoint.manifest.subgoal)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it holds."""
        return self._embodiment

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What it accepts, and leaves unread."""
        return self._subgoal_spec

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return self._horizon

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return self._dt_s

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """The present pose, `horizon` times."""
        rows = np.tile(self._embodiment.position_in(observation.state), (self._horizon, 1))
        return ActionChunk(rows=rows, dt_s=self._dt_s, start_stamp_s=observation.stamp_s)
