"""Swap the planner: a class of your own in front of the trained actor.

A planner conforms by having the members of `dualsys.protocols.Planner`; nothing is inherited, and nothing needs to be
registered. This one steadies another: it averages the newest subgoals, so that one odd look moves the arm less.

    python examples/swap_the_planner.py
"""

from collections import deque
from dataclasses import replace

import numpy as np

import dualsys
from dualsys.actor import FlowActor
from dualsys.app.rollout import run_episode
from dualsys.checkpoint import Checkpoint
from dualsys.planner import VLMPlanner
from dualsys.protocols import Planner
from dualsys.testing import check_planner


class SteadyPlanner:
    """Emits the mean of another planner's newest subgoals."""

    def __init__(self, inner: Planner, *, looks: int = 3) -> None:
        self.subgoal_spec = inner.subgoal_spec
        self._inner = inner
        self._tokens: deque[np.ndarray] = deque(maxlen=looks)

    def reset(self, *, seed: int = 0) -> None:
        """Forget the past episode."""
        self._inner.reset(seed=seed)
        self._tokens.clear()

    def plan(self, observation: dualsys.Observation) -> dualsys.LatentSubgoal:
        """The mean, stamped with the newest observation."""
        newest = self._inner.plan(observation)
        self._tokens.append(newest.tokens)
        return replace(newest, tokens=np.mean(self._tokens, axis=0, dtype=np.float32), producer="steady")


def main() -> None:
    """Check that it conforms, then drive an episode with it."""
    checkpoint = Checkpoint.open("humanoid-table")
    planner = SteadyPlanner(VLMPlanner.from_checkpoint(checkpoint))
    check_planner(planner, checkpoint.manifest.embodiment, instruction="touch the red block")

    environment = dualsys.sim_envs.make("humanoid/touch", images="on-demand")
    with dualsys.Controller(planner, FlowActor.from_checkpoint(checkpoint)) as controller:
        result = run_episode(environment, controller, seed=8000)
    print(f"{result.instruction}: {'success' if result.success else 'failure'} after {result.duration_s:.1f} s")


if __name__ == "__main__":
    main()
