"""What the humanoid's arms keep clear of: its trunk, each other, and the table.

Hands may go to the table, and everything may go to the blocks: that is what they are for.
"""

from collections.abc import Sequence
from typing import Any

from dualsys.sim_envs.clearance import MujocoClearance
from dualsys.sim_envs.humanoid.goals import SIDES
from dualsys.sim_envs.humanoid.robot import JOINT_NAMES
from dualsys.workspace_box import WorkspaceBox


def body_clearance(model: Any, boxes: Sequence[WorkspaceBox] = ()) -> MujocoClearance:
    """Distances of the G1's arms and hands in a compiled scene, and of whatever points are to stay in or out of boxes.

    From the elbow on an arm keeps clear of the trunk, as far as it can touch it at all; an arm without its hand keeps
    clear of the table. Legs are under it and don't count.
    """
    solid = [geom for geom in range(model.ngeom) if model.geom_contype[geom]]
    table = model.geom("table").id
    trunk = _of(model, solid, ("torso_link",))
    pairs: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
    for side in SIDES:
        fore = _of(model, solid, (f"{side}_elbow", f"{side}_wrist", f"{side}_hand"))
        bare = _of(model, solid, (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist_roll"))
        pairs[f"{side} arm / trunk"] = (fore, trunk)
        pairs[f"{side} arm / table"] = (bare, [table])
    left, right = (_of(model, solid, tuple(f"{side}_{part}" for part in _ARM)) for side in SIDES)
    pairs["left arm / right arm"] = (left, right)
    return MujocoClearance(model, JOINT_NAMES, pairs, boxes)


_ARM = ("shoulder", "elbow", "wrist", "hand")


def _of(model: Any, geoms: Sequence[int], bodies: tuple[str, ...]) -> list[int]:
    """Those of the geoms whose body's name begins with one of the names."""
    return [geom for geom in geoms if model.body(model.geom_bodyid[geom]).name.startswith(bodies)]
