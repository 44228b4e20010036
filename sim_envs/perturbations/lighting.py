"""Light that is brighter or darker, of another colour, and from elsewhere."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.messages import FloatArray
from dualsys.sim_envs.perturbations.draws import direction, factor, rotation
from dualsys.sim_envs.perturbations.edited_model import EditedModel

_LAMP_FIELDS = ("light_diffuse", "light_ambient", "light_specular")
_HEADLIGHT_FIELDS = ("vis.headlight.diffuse", "vis.headlight.ambient", "vis.headlight.specular")


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Lighting:
    """Every light of the scene alike, the one at the camera too; directions of lamps each for itself."""

    kind: ClassVar[str] = "lighting"
    brightness: Annotated[float, Field(ge=0, le=9, allow_inf_nan=False)] = 0.0
    """Light is multiplied by 1 / (1 + this) to 1 + this."""
    tint: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Up to this share of a colour's channel is taken away."""
    turn_rad: Annotated[float, Field(ge=0, le=3.15)] = 0.0
    """Lamps shine from up to this angle elsewhere."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not (self.brightness or self.tint or self.turn_rad)

    def change(self, edited: EditedModel, rng: np.random.Generator) -> dict[str, float]:
        """Draw, write, and tell what was drawn."""
        brightness = factor(rng, self.brightness)
        colour = 1.0 - self.tint * rng.uniform(0.0, 1.0, 3)
        for field in (*_LAMP_FIELDS, *_HEADLIGHT_FIELDS):
            edited.writable(field)[...] *= (brightness * colour).astype(np.float32)
        angle = self.turn_rad * float(rng.uniform())
        self._turn(edited, rotation(direction(rng), angle))
        return {"brightness": brightness, "turn_rad": angle}

    def _turn(self, edited: EditedModel, matrix: FloatArray) -> None:
        for field in ("light_dir", "light_dir0"):
            directions = edited.writable(field)
            directions[:] = directions @ matrix.T
