"""Which blocks the robot is touching, and with which of its hands, from the physics' own contacts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.sim_envs.humanoid.goals import SIDES, Side
from dualsys.sim_envs.humanoid.scene import MAX_BLOCKS


class TouchDetector:
    """Reads contacts between blocks and the robot's arms and hands."""

    def __init__(self, model: Any) -> None:
        """Note which geom is a block and which belongs to which arm."""
        self._block_of_geom = np.full(model.ngeom, -1)
        for index in range(MAX_BLOCKS):
            self._block_of_geom[model.geom(f"block{index}").id] = index
        self._is_robot = _belongs_to(model, "pelvis")
        self._is_arm = {side: _belongs_to(model, f"{side}_shoulder_pitch_link") for side in SIDES}
        self._is_thumb = {side: _belongs_to(model, f"{side}_hand_thumb_0_link") for side in SIDES}

    def touched_blocks(self, data: Any) -> list[int]:
        """Indices of the blocks in contact with the robot at the last physics step, ascending."""
        return self._blocks_on(data, self._is_robot)

    def blocks_on(self, data: Any, side: Side) -> list[int]:
        """Indices of the blocks in contact with one arm or its hand, ascending."""
        return self._blocks_on(data, self._is_arm[side])

    def blocks_gripped(self, data: Any, side: Side) -> list[int]:
        """Indices of the blocks that touch a hand's thumb and something else of that arm: held between the two."""
        thumb = self._blocks_on(data, self._is_thumb[side])
        rest = self._blocks_on(data, self._is_arm[side] & ~self._is_thumb[side])
        return [index for index in thumb if index in rest]

    def _blocks_on(self, data: Any, part: NDArray[np.bool_]) -> list[int]:
        if data.ncon == 0:
            return []
        pairs = data.contact.geom[data.contact.dist <= 0]
        block, robot = self._block_of_geom[pairs], part[pairs]
        touched = np.concatenate([block[robot[:, 1], 0], block[robot[:, 0], 1]])
        return [int(index) for index in np.unique(touched) if index >= 0]


def _belongs_to(model: Any, name: str) -> NDArray[np.bool_]:
    """By geom: whether its body hangs from the named one."""
    root = model.body(name).id
    return np.array([_is_below(model, int(body), root) for body in model.geom_bodyid])


def _is_below(model: Any, body: int, root: int) -> bool:
    while body > 0:
        if body == root:
            return True
        body = int(model.body_parentid[body])
    return False
