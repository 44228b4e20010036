"""Which of the options that every suite is asked for mean something here; the others are refused."""

import numpy as np

from dualsys.embodiment import CameraSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.aloha.scenes import Scene
from dualsys.sim_envs.options import EnvironmentOptions, refuse_options, require_instruction

NOT_HONOURED = {
    "phrasing": "it has no held-out phrasings, one sentence alone",
    "randomization": "it has one look",
    "reset_kind": "a reset sets the whole scene, there is one kind",
}
"""Options that no task here can honour, and why."""


def require_one_way(scene: Scene, options: EnvironmentOptions) -> None:
    """Raise `ConfigError` for other words or another look than the task has."""
    name = f"aloha/{scene.name}"
    require_instruction(name, options.instruction, scene.instruction)
    refuse_options(name, options, NOT_HONOURED)


def substeps_at(control_hz: float, timestep_s: float) -> int:
    """Physics steps of a control step. Raises `ConfigError` for a rate that they don't divide."""
    substeps = round(1 / (timestep_s * control_hz))
    if substeps < 1 or not np.isclose(substeps * timestep_s * control_hz, 1.0):
        raise ConfigError(
            f"control_hz={control_hz:g} does not divide the {1 / timestep_s:g} Hz of aloha's physics; use 50 or 500"
        )
    return substeps


def camera_specs(asked: tuple[str, ...], known: tuple[str, ...], shape_px: tuple[int, int]) -> tuple[CameraSpec, ...]:
    """The policy's cameras, of this height and width. Raises `ConfigError` for one that the scene hasn't."""
    for name in asked:
        if name not in known:
            raise ConfigError(unknown_name("camera", name, known))
    return tuple(CameraSpec(name=name, height=shape_px[0], width=shape_px[1]) for name in asked)
