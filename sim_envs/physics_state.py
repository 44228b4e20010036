"""MuJoCo's state as one array and back: the whole to the bit, or what a picture is drawn from."""

from typing import Any

import numpy as np

from dualsys.errors import SpecMismatch
from dualsys.messages import FloatArray
from dualsys.sim_envs.rendering import import_mujoco


def save_physics(model: Any, data: Any) -> FloatArray:
    """Positions, velocities, controls, time and the solver's warm start."""
    mujoco = import_mujoco()
    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, whole))
    mujoco.mj_getState(model, data, state, whole)
    return state


def place_positions(task: str, data: Any, positions: FloatArray, stamp_s: float | None) -> None:
    """Put everything where another simulation's `qpos` `(nq,)` has it, and its time; the poses of bodies don't follow.

    Velocities are left as they are. Raises `SpecMismatch` for another length.
    """
    if np.shape(positions) != data.qpos.shape:
        raise SpecMismatch(f"{task} has {data.qpos.size} positions, not {np.shape(positions)}")
    data.qpos[:] = positions
    if stamp_s is not None:
        data.time = stamp_s


def guided_positions(data: Any) -> FloatArray:
    """Positions, those of the guides (mocap bodies) that hands hang on included."""
    return np.concatenate([data.qpos, data.mocap_pos.ravel(), data.mocap_quat.ravel()])


def place_guided(model: Any, data: Any, positions: FloatArray) -> None:
    """Put everything where another simulation's `guided_positions` have it; the poses of all bodies follow."""
    parts = np.split(positions, np.cumsum([data.qpos.size, data.mocap_pos.size]))
    data.qpos[:] = parts[0]
    data.mocap_pos[:], data.mocap_quat[:] = parts[1].reshape(-1, 3), parts[2].reshape(-1, 4)
    import_mujoco().mj_forward(model, data)


def load_physics(model: Any, data: Any, state: FloatArray) -> None:
    """Put a state back; the bodies' poses follow, and the warm start that working them out spoils is put back again."""
    mujoco = import_mujoco()
    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(model, data, state, whole)
    mujoco.mj_forward(model, data)
    mujoco.mj_setState(model, data, state, whole)
