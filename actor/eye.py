"""What the actor's own eye is shown: the present picture and, for one with a goal, the goal's behind it.

Shape legend: H W picture, C channels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualsys.actor.config import FastVisionConfig
from dualsys.actor.sampling import Array
from dualsys.messages import ImageArray, Observation


def shown_to_eye(observation: Observation, vision: FastVisionConfig) -> Array:
    """`(C, H, W)` float32 in [-1, 1]; the last of seven channels is 1 where there is a goal, and 0 with its picture."""
    picture_3HW = picture_to_tensor(observation.images[vision.camera.name])
    if not vision.goal:
        image: Array = picture_3HW.contiguous().numpy()
        return image
    goal = observation.goal_image
    size = (vision.camera.height, vision.camera.width)
    goal_3HW = torch.zeros(3, *size) if goal is None else _sized(picture_to_tensor(goal), size)
    present_1HW = torch.full((1, *size), 0.0 if goal is None else 1.0)
    stacked: Array = torch.cat([picture_3HW, goal_3HW, present_1HW]).numpy()
    return stacked


def picture_to_tensor(picture: ImageArray) -> Tensor:
    """`(H, W, 3)` uint8 to `(3, H, W)` float32 in [-1, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1.0


def _sized(picture_3HW: Tensor, size: tuple[int, int]) -> Tensor:
    """A goal may come from anywhere; a camera's picture has the eye's size."""
    if picture_3HW.shape[-2:] == size:
        return picture_3HW
    return F.interpolate(picture_3HW[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
