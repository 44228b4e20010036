"""What stands around in other colours: floor, table, walls."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.messages import FloatArray
from dualsys.sim_envs.perturbations.edited_model import EditedModel

_NO_COLOUR = np.array([0.5, 0.5, 0.5, 1.0])
"""MuJoCo's colour of a geom that takes its material's."""


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Texture:
    """Everything that is fixed as a whole, each geom in a colour of its own.

    Robots and what they are to handle keep their looks: a task may name them by their colour. A texture stays, tinted.
    """

    kind: ClassVar[str] = "texture"
    mix: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the new colour."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not self.mix

    def change(self, edited: EditedModel, rng: np.random.Generator) -> dict[str, float]:
        """Draw, write, and tell how many things were painted."""
        geoms = background(edited.model)
        colours = edited.writable("geom_rgba")
        for geom in geoms:
            own, other = _colour_of(edited.model, geom), rng.uniform(0.0, 1.0, 3)
            colours[geom, :3] = (1.0 - self.mix) * own[:3] + self.mix * other
            colours[geom, 3] = own[3]
        return {"painted": float(len(geoms))}


def background(model: Any) -> list[int]:
    """Geoms of the world, and of things on it that are fixed as a whole: no drawer, no robot's foot."""
    moving = set(model.body_rootid[model.body_weldid != 0].tolist())
    moving |= set(model.body_rootid[model.body_mocapid >= 0].tolist())
    still = [body == 0 or int(model.body_rootid[body]) not in moving for body in range(model.nbody)]
    return [geom for geom in range(model.ngeom) if still[model.geom_bodyid[geom]]]


def _colour_of(model: Any, geom: int) -> FloatArray:
    """As it is drawn `(4,)`: a geom's own colour, where it has one, covers its material's."""
    own, material = np.array(model.geom_rgba[geom], dtype=np.float64), int(model.geom_matid[geom])
    if material >= 0 and np.array_equal(own, _NO_COLOUR):
        return np.array(model.mat_rgba[material], dtype=np.float64)
    return own
