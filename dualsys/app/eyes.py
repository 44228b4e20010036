"""The cameras a controller was trained with, as an environment is asked for them."""

from functools import cache
from typing import Any

from dualsys import sim_envs
from dualsys.embodiment import EmbodimentSpec


@cache  # a run asks twice, and the answer takes a scene to be built
def eyes_for(task: str, *robots: EmbodimentSpec) -> dict[str, Any]:
    """Arguments of `sim_envs.make` that give a task the cameras of a trained robot; none where it has them already.

    Of several trained robots the task's own counts. Another robot, or a blind one, gets none either: what it is is for
    the checkpoint to say, not for a missing camera.
    """
    environment = sim_envs.make(task, images="on-demand")
    own = environment.embodiment
    environment.close()
    trained = next((robot for robot in robots if robot.name == own.name), None)
    if trained is None or trained.cameras in ((), own.cameras):
        return {}
    return {"cameras": tuple(camera.name for camera in trained.cameras), "image_size": trained.cameras[0].height}
