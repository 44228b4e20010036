"""What a result hangs on beside its seeds and its config."""

from dualsys.checkpoint import installed_versions
from dualsys.errors import RenderingError
from dualsys.sim_envs import rendering
from dualsys.sim_envs.reference_frame import compare_reference_frame


def result_versions() -> dict[str, str]:
    """Versions of what decides a result, and the window system that draws what the models see (`none`: no picture).

    `reference_frame` says whether it draws what it drew where the stored picture was made: policies that see may act
    otherwise where it doesn't.
    """
    try:
        drawn = {"renderer": rendering.backend(), "reference_frame": compare_reference_frame()}
    except RenderingError:
        drawn = {"renderer": "none"}
    return {**installed_versions(), **drawn}
