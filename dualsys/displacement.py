"""Is a robot that was held somewhere else now, in its hold pose for one?"""

import math
from typing import final

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import FloatArray


@final
class Displacement:
    """Compares where the robot is seen with where its motion stood still.

    Args:
        embodiment: Joints, and the names of what is sensed.
        reach_s: A joint is elsewhere where it couldn't be back in this time at its velocity limit; 0: none ever is.
    """

    def __init__(self, embodiment: EmbodimentSpec, reach_s: float) -> None:
        names = embodiment.state_names
        sensed = [
            index
            for index, joint in enumerate(embodiment.joints)
            if joint.name in names and not embodiment.velocities[index]
        ]
        self._sensed = np.array(sensed, dtype=np.intp)
        self._order = np.array([names.index(embodiment.joints[index].name) for index in sensed], dtype=np.intp)
        self._reach = embodiment.max_velocity[self._sensed] * (reach_s or math.inf)

    def position(self, state: FloatArray, target: FloatArray) -> FloatArray | None:
        """Where the robot is `(nu,)`, as in `target` for what isn't sensed; None where that is within reach.

        Args:
            state: As sensed `(nx,)`.
            target: Where the motion stood still `(nu,)`.
        """
        seen = state[self._order]
        if not (np.abs(seen - target[self._sensed]) > self._reach).any():
            return None
        position = np.array(target, dtype=np.float64)
        position[self._sensed] = seen
        return position
