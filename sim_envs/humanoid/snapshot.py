"""A moment of an episode, whole, to go back to."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import Side
from dualsys.sim_envs.humanoid.judge import Judge
from dualsys.sim_envs.humanoid.layout import Episode

_WHOLE = mujoco.mjtState.mjSTATE_INTEGRATION


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


def save_physics(model: Any, data: Any) -> FloatArray:
    """Positions, velocities, controls, time and the solver's warm start."""
    state = np.empty(mujoco.mj_stateSize(model, _WHOLE))
    mujoco.mj_getState(model, data, state, _WHOLE)
    return state


def load_physics(model: Any, data: Any, state: FloatArray) -> None:
    """Put a state back; the bodies' poses follow, and the warm start that working them out spoils is put back again."""
    mujoco.mj_setState(model, data, state, _WHOLE)
    mujoco.mj_forward(model, data)
    mujoco.mj_setState(model, data, state, _WHOLE)
