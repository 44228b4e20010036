"""The cameras a controller was trained with, as an environment is asked for them."""

from functools import cache
from typing import Any

from dualsys import sim_envs
from dualsys.embodiment import EmbodimentSpec


@cache  # a run asks twice, and the answer takes a scene to be built
def eyes_for(task: str, trained: EmbodimentSpec) -> dict[str, Any]:
    """Arguments of `sim_envs.make` that give a task the cameras of a trained robot; none where it has them already.

    Another robot, or a blind one, gets none either: what it is is for the checkpoint to say, not for a missing camera.
    """
    environment = sim_envs.make(task, images="on-demand")
    own = environment.embodiment
    environment.close()
    if own.name != trained.name or trained.cameras in ((), own.cameras):
        return {}
    return {"cameras": tuple(camera.name for camera in trained.cameras), "image_size": trained.cameras[0].height}
