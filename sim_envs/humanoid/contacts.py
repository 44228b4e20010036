"""Which blocks the robot is touching, from the physics' own contacts."""

from typing import Any

import numpy as np

from dualsys.sim_envs.humanoid.scene import MAX_BLOCKS


class TouchDetector:
    """Reads contacts between blocks and the robot's arms and hands."""

    def __init__(self, model: Any) -> None:
        """Note which geom is a block and which belongs to the robot."""
        self._block_of_geom = np.full(model.ngeom, -1)
        for index in range(MAX_BLOCKS):
            self._block_of_geom[model.geom(f"block{index}").id] = index
        pelvis = model.body("pelvis").id
        self._is_robot = np.array([_is_below(model, int(body), pelvis) for body in model.geom_bodyid])

    def touched_blocks(self, data: Any) -> list[int]:
        """Indices of the blocks in contact with the robot at the last physics step, ascending."""
        if data.ncon == 0:
            return []
        pairs = data.contact.geom[data.contact.dist <= 0]
        block, robot = self._block_of_geom[pairs], self._is_robot[pairs]
        touched = np.concatenate([block[robot[:, 1], 0], block[robot[:, 0], 1]])
        return [int(index) for index in np.unique(touched) if index >= 0]


def _is_below(model: Any, body: int, root: int) -> bool:
    while body > 0:
        if body == root:
            return True
        body = int(model.body_parentid[body])
    return False
