"""The cameras a controller was trained with, as an environment is asked for them."""

from functools import cache
from typing import Any

from dualsys import sim_envs
from dualsys.embodiment import EmbodimentSpec


@cache  # a run asks twice, and the answer takes a scene to be built
def _own(task: str) -> EmbodimentSpec:
    environment = sim_envs.make(task, images="on-demand")
    own = environment.embodiment
    environment.close()
    return own


def trained_eyes(task: str, *robots: EmbodimentSpec) -> dict[str, Any]:
    """Arguments of `sim_envs.make` for the cameras that a task's robot was trained with; none for a blind or other one.

    Of several trained robots the task's own counts.
    """
    if not robots:  # no scene need be built to know
        return {}
    name = _own(task).name
    trained = next((robot for robot in robots if robot.name == name), None)
    if trained is None or not trained.cameras:
        return {}
    first = trained.cameras[0]
    size = first.height if first.height == first.width else (first.height, first.width)
    return {"cameras": tuple(camera.name for camera in trained.cameras), "image_size": size}


def eyes_for(task: str, *robots: EmbodimentSpec) -> dict[str, Any]:
    """The same, but none where the task has them already.

    Another robot, or a blind one, gets none either: what it is is for the checkpoint to say, not for a missing camera.
    """
    if not robots:
        return {}
    own = _own(task)
    if any(robot.name == own.name and robot.cameras == own.cameras for robot in robots):
        return {}
    return trained_eyes(task, *robots)
