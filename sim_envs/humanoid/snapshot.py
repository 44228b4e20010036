"""A moment of an episode, whole, to go back to."""

from dataclasses import dataclass

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import Side
from dualsys.sim_envs.humanoid.judge import Judge
from dualsys.sim_envs.humanoid.layout import Episode
from dualsys.sim_envs.physics_state import load_physics as load_physics
from dualsys.sim_envs.physics_state import save_physics as save_physics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What `HumanoidTable.snapshot` gives and `HumanoidTable.restore` takes, of the same environment only."""

    physics: FloatArray
    """MuJoCo's `mjSTATE_INTEGRATION`."""
    episode: Episode
    episode_seed: int
    judge: Judge
    gripped: dict[Side, list[str]]
    """Contacts are no part of the physics' state, and belong to the last physics step: they cannot be made anew."""
