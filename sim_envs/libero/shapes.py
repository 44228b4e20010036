"""Where things are that the hand may hold or run into: boxes around their collision shapes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualsys.messages import FloatArray

_GRID = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 9)] * 3), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes:
    """A box around each of `n` shapes, turned as the shape is. Nearly all of LIBERO's shapes are boxes themselves."""

    centres: FloatArray
    """`(n, 3)` metres in the world."""
    axes: FloatArray
    """`(n, 3, 3)`, a box's own axes in columns."""
    halves: FloatArray
    """`(n, 3)` half its sides."""

    def points(self) -> FloatArray:
        """A grid of 729 points over each `(729 n, 3)`."""
        local = _GRID * self.halves[:, None, :]
        points: FloatArray = self.centres[:, None, :] + np.einsum("nij,nkj->nki", self.axes, local)
        return points.reshape(-1, 3)

    def distance(self, points: FloatArray) -> float:
        """How far the nearest of some points `(m, 3)` is from the nearest box (m); 0 inside one."""
        if not len(self.centres):
            return float("inf")
        offsets = points[:, None, :] - self.centres
        local = np.abs(np.einsum("mni,nij->mnj", offsets, self.axes))
        return float(np.linalg.norm(np.maximum(local - self.halves, 0.0), axis=-1).min())


def shapes_of(model: Any, body: int) -> list[int]:
    """Collision shapes of a body and of what hangs on it: numbers of geoms."""
    family = {body}
    for other in range(body + 1, model.nbody):  # parents come before their children
        if int(model.body_parentid[other]) in family:
            family.add(other)
    return [
        geom
        for geom in range(model.ngeom)
        if int(model.geom_bodyid[geom]) in family and (model.geom_contype[geom] or model.geom_conaffinity[geom])
    ]


def boxes_of(model: Any, data: Any, geoms: Iterable[int]) -> Boxes:
    """Boxes around shapes, where they are now."""
    chosen = np.array(list(geoms), dtype=np.intp)
    axes = data.geom_xmat[chosen].reshape(-1, 3, 3)
    return Boxes(
        centres=data.geom_xpos[chosen] + np.einsum("nij,nj->ni", axes, model.geom_aabb[chosen, :3]),
        axes=axes,
        halves=model.geom_aabb[chosen, 3:],
    )
