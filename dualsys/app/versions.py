"""What a result hangs on beside its seeds and its config."""

from dualsys.checkpoint import installed_versions
from dualsys.errors import RenderingError
from dualsys.sim_envs import rendering


def result_versions() -> dict[str, str]:
    """Versions of what decides a result, and the window system that draws what the models see (`none`: no picture)."""
    try:
        renderer = rendering.backend()
    except RenderingError:
        return {**installed_versions(), "renderer": "none"}
    return {**installed_versions(), "renderer": renderer}
