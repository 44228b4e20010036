"""What gymnasium is told of a task's observations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from dualsys.embodiment import CameraSpec
from dualsys.sim_envs.options import ImageMode


def observation_space(state: spaces.Box, cameras: Sequence[CameraSpec], images: ImageMode) -> spaces.Dict:
    """A dictionary of `state`, and of `images` by camera unless they are rendered on demand."""
    contents: dict[str, spaces.Space[Any]] = {"state": state}
    if images == "observation":
        contents["images"] = spaces.Dict(
            {camera.name: spaces.Box(0, 255, (camera.height, camera.width, 3), np.uint8) for camera in cameras}
        )
    return spaces.Dict(contents)
