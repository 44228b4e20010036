"""Where an object goes that a fact of the goal names, and how high one has to be on the way."""

from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.libero.shapes import Boxes, boxes_of, shapes_of
from dualsys.sim_envs.libero.tasks import Fact

UNDER_M = 0.03
"""Around the place, what is looked at for the height of what the object will stand on."""
AROUND_M = 0.13
"""Around the place, what is looked at for the border of what the object is put into."""
PALM_M = 0.03
"""How far below such a border the finger tips may be before the palm is on it."""
DROP_M = 0.006
CORRIDOR_M = 0.11
"""How far to the side of its way the hand may touch something."""


def placement_for(model: Any, data: Any, fact: Fact, below: float) -> FloatArray:
    """Where the hand lets go of an object for a fact such as `on bowl plate`.

    Args:
        model: Of the scene.
        data: Of the scene.
        fact: One that names a place.
        below: How far the object reaches below the finger tips (m).

    Returns:
        `(3,)`: where in the plane the object goes, and how high the point between the finger tips is then.
    """
    middle = place_of(model, data, fact.place)
    owner = _owner(model, fact.place)
    surface = border = float(middle[2])
    if owner is not None:
        points = boxes_of(model, data, shapes_of(model, owner)).points()
        away = np.linalg.norm(points[:, :2] - middle[:2], axis=1)
        under = points[away < UNDER_M, 2]
        if fact.verb == "in":
            under = under[under < middle[2]]  # a drawer has a cabinet over it
            border = float(points[away < AROUND_M, 2].max(initial=border))
        surface = float(under.max(initial=-np.inf)) if len(under) else surface
    height = surface + below + DROP_M
    if fact.verb == "in":
        height = max(height, border - PALM_M)
    return np.array([middle[0], middle[1], height])


def place_of(model: Any, data: Any, name: str) -> FloatArray:
    """Where an object's body or a region's middle is `(3,)`, metres in the world."""
    bodies = {model.body(index).name for index in range(model.nbody)}
    return np.array(data.body(f"{name}_main").xpos if f"{name}_main" in bodies else data.site(name).xpos)


def highest_on_the_way(others: Boxes, start: FloatArray, end: FloatArray) -> float:
    """Height of the highest point that is passed over; minus infinity where nothing is in the way."""
    points = others.points()
    way = (end - start)[:2]
    share = np.clip((points[:, :2] - start[:2]) @ way / max(float(way @ way), 1e-9), 0.0, 1.0)
    beside = np.linalg.norm(points[:, :2] - start[:2] - share[:, None] * way, axis=1)
    return float(points[beside < CORRIDOR_M, 2].max(initial=-np.inf))


def _owner(model: Any, name: str) -> int | None:
    """The object or fixture that a place is or belongs to; None for a part of the table."""
    bodies = {model.body(index).name: index for index in range(model.nbody)}
    owners = [body for body in bodies if body.endswith("_main") and name.startswith(body.removesuffix("_main"))]
    return bodies[max(owners, key=len)] if owners else None
