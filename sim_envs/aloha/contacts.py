"""What is between the two fingers of a hand."""

from typing import Any

import numpy as np

from dualsys.sim_envs.aloha.robot import SIDES


class GripDetector:
    """Knows the scene's fingers and objects by number."""

    def __init__(self, model: Any, objects: tuple[str, ...]) -> None:
        """`objects`: names of their bodies."""
        self._fingers = {
            side: [model.geom(f"vx300s_{side}/10_{finger}_gripper_finger").id for finger in ("left", "right")]
            for side in SIDES
        }
        self._bodies = {int(model.body(name).id): name for name in objects}
        self._body_of_geom = np.array(model.geom_bodyid)

    def gripped(self, data: Any) -> dict[str, tuple[str, ...]]:
        """By side, objects that both fingers touch."""
        touching: set[tuple[int, str]] = set()
        for pair in data.contact.geom[: data.ncon]:
            for finger, other in (pair, pair[::-1]):
                if (name := self._bodies.get(int(self._body_of_geom[other]))) is not None:
                    touching.add((int(finger), name))
        return {
            side: tuple(name for name in self._bodies.values() if all((finger, name) in touching for finger in fingers))
            for side, fingers in self._fingers.items()
        }
