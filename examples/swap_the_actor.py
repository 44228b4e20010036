"""Swap the actor: a class of your own behind any planner.

An actor conforms by having the members of `dualsys.protocols.Actor`. This one knows nothing of subgoals: it waves, in
chunks, and the safety gate keeps it within the robot's limits.

    python examples/swap_the_actor.py
"""

import numpy as np

import dualsys
from dualsys.app.rollout import run_episode
from dualsys.planner import NullPlanner
from dualsys.testing import check_actor

SUBGOAL = dualsys.SubgoalSpec(num_tokens=1, dim=1)


class WavingActor:
    """Swings one joint around where it is, all others stay."""

    def __init__(self, embodiment: dualsys.EmbodimentSpec, joint: str, *, amplitude_rad: float = 0.3) -> None:
        self.embodiment = embodiment
        self.subgoal_spec = SUBGOAL
        self.horizon = 32
        self.dt_s = 0.02
        self._joint = [joint.name for joint in embodiment.joints].index(joint)
        self._amplitude_rad = amplitude_rad
        self._rest: np.ndarray | None = None

    def reset(self, *, seed: int = 0) -> None:
        """Rest is where the next observation finds the arm."""
        self._rest = None

    def act(
        self,
        observation: dualsys.Observation,
        subgoal: dualsys.LatentSubgoal | None,
        prefix: dualsys.ActionPrefix | None = None,
    ) -> dualsys.ActionChunk:
        """Rows of one swing a second."""
        if self._rest is None:
            self._rest = self.embodiment.position_in(observation.state)
        times_s = observation.stamp_s + self.dt_s * np.arange(self.horizon)
        rows = np.tile(self._rest, (self.horizon, 1))
        rows[:, self._joint] += self._amplitude_rad * np.sin(2 * np.pi * times_s)
        return dualsys.ActionChunk(rows=rows, dt_s=self.dt_s, start_stamp_s=observation.stamp_s)


def main() -> None:
    """Check that it conforms, then wave for an episode."""
    environment = dualsys.sim_envs.make("humanoid/touch", images="on-demand")
    actor = WavingActor(environment.embodiment, "right_wrist_yaw_joint")
    check_actor(actor)
    with dualsys.Controller(NullPlanner(SUBGOAL), actor) as controller:
        result = run_episode(environment, controller, seed=8000)
    print(f"waved for {result.duration_s:.1f} s; the safety gate limited {result.limited_ticks} commands")


if __name__ == "__main__":
    main()
