"""MuJoCo's whole state as one array, and back to the bit."""

from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.rendering import import_mujoco


def save_physics(model: Any, data: Any) -> FloatArray:
    """Positions, velocities, controls, time and the solver's warm start."""
    mujoco = import_mujoco()
    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, whole))
    mujoco.mj_getState(model, data, state, whole)
    return state


def load_physics(model: Any, data: Any, state: FloatArray) -> None:
    """Put a state back; the bodies' poses follow, and the warm start that working them out spoils is put back again."""
    mujoco = import_mujoco()
    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(model, data, state, whole)
    mujoco.mj_forward(model, data)
    mujoco.mj_setState(model, data, state, whole)
