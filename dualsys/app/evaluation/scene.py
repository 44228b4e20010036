"""What an evaluation's environments are asked for: a protocol's horizon and images, and a controller's own eyes."""

from typing import Any

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.eyes import eyes_for, trained_eyes
from dualsys.app.trained_robots import trained_robots


def scene_of(config: EvalConfig, task: str) -> dict[str, Any]:
    """Arguments of `sim_envs.make` beside those that every evaluation gives it.

    A trained controller gets the cameras it was trained with, whatever the protocol says of images: `deviations` tells.
    """
    robots = trained_robots(config.policy, config.used_checkpoint)
    protocol = config.benchmark()
    if protocol is None:
        return eyes_for(task, *robots)
    scene: dict[str, Any] = {
        "episode_steps": protocol.horizon_of(task),
        "settle_steps": protocol.settle_steps,
        "image_turn": protocol.image_turn,
        "reset_kind": protocol.reset_kind,
        "cameras": protocol.cameras,
        **({} if protocol.image_size is None else {"image_size": protocol.image_size}),
    }
    return scene | trained_eyes(task, *robots)
