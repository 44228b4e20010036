"""A point mass on a table: two axes, a servo that follows the commands with a lag, and whatever pushes it."""

from typing import final

import numpy as np

from dualsys.embodiment import EmbodimentSpec, Joint, SubgoalSpec
from dualsys.messages import ActionChunk, ActionPrefix, FloatArray, LatentSubgoal, Observation

SPEC = SubgoalSpec(num_tokens=1, dim=2)
"""A subgoal is where to go."""
_AXES = ("x", "y")
_STIFFNESS_HZ = 6.0
_SUBSTEPS = 10
_DWELL_S = 4.0
"""Until the planner thinks of another place."""


def point_mass_embodiment() -> EmbodimentSpec:
    """Two axes of a metre each way, at most 1 m/s and 10 m/s^2, with positions and velocities sensed."""
    return EmbodimentSpec(
        name="point-mass",
        joints=tuple(Joint(name=axis, lower=-1, upper=1, max_velocity=1, max_acceleration=10) for axis in _AXES),
        state_names=(*_AXES, *(f"{axis}-velocity" for axis in _AXES)),
    )


@final
class PointMass:
    """Mass, servo (critically damped) and table, integrated in tenths of a step (semi-implicit Euler)."""

    def __init__(self, dt_s: float) -> None:
        self.dt_s = dt_s
        self.position = np.zeros(2)
        self.velocity = np.zeros(2)
        self.time_s = 0.0

    def step(self, target: FloatArray, push: FloatArray | None = None) -> None:
        """Follow a command `(2,)` for one step; `push` `(2,)` is added to the velocity at once, in m/s."""
        if push is not None:
            self.velocity += push
        rate, dt_s = 2 * np.pi * _STIFFNESS_HZ, self.dt_s / _SUBSTEPS
        for _ in range(_SUBSTEPS):
            self.velocity += dt_s * (rate**2 * (target - self.position) - 2 * rate * self.velocity)
            self.position += dt_s * self.velocity
        np.clip(self.position, -1, 1, out=self.position)
        self.time_s += self.dt_s

    def observe(self) -> Observation:
        """Positions and velocities, now."""
        return Observation(stamp_s=self.time_s, state=np.concatenate([self.position, self.velocity]))


@final
class PlacePlanner:
    """Another place every four seconds, drawn from the seed and the time: the same for the same."""

    subgoal_spec = SPEC

    def __init__(self) -> None:
        self._seed = 0

    def reset(self, *, seed: int = 0) -> None:
        """Draw from another seed."""
        self._seed = seed

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Where to be now."""
        turn = int(max(observation.stamp_s, 0.0) // _DWELL_S)
        place = np.random.default_rng((self._seed, turn)).uniform(-0.9, 0.9, (1, 2))
        return LatentSubgoal(
            tokens=place.astype(np.float32), observation_stamp_s=observation.oldest_stamp_s, producer="places"
        )


@final
class PlaceActor:
    """Half a second of minimum jerk towards the subgoal's place; stays where it is without one."""

    subgoal_spec = SPEC
    horizon = 25
    dt_s = 0.02

    def __init__(self, embodiment: EmbodimentSpec) -> None:
        self.embodiment = embodiment
        share = np.linspace(0.0, 1.0, self.horizon)[:, None]
        self._ease = 10 * share**3 - 15 * share**4 + 6 * share**5

    def reset(self, *, seed: int = 0) -> None:
        """Nothing is remembered."""
        del seed

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Rows `(25, 2)`, a quarter of the way at most."""
        del prefix
        position = self.embodiment.position_in(observation.state)
        way = np.zeros(2) if subgoal is None else np.clip(subgoal.tokens[0].astype(np.float64) - position, -0.25, 0.25)
        return ActionChunk(rows=position + self._ease * way, dt_s=self.dt_s, start_stamp_s=observation.stamp_s)
