"""Things, and robots, that are heavier or lighter."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.sim_envs.perturbations.draws import factor
from dualsys.sim_envs.perturbations.edited_model import EditedModel


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Mass:
    """A factor for each thing that moves, with all that hangs on it: an object, an arm, a whole free robot."""

    kind: ClassVar[str] = "mass"
    change_by: Annotated[float, Field(ge=0, le=99, allow_inf_nan=False)] = 0.0
    """Mass and inertia are multiplied by 1 / (1 + this) to 1 + this."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not self.change_by

    def change(self, edited: EditedModel, rng: np.random.Generator) -> dict[str, float]:
        """Draw, write, and tell the least and the largest of what was drawn."""
        model = edited.model
        drawn = np.array([factor(rng, self.change_by) for _ in range(model.ntree)] or [1.0])
        moving = model.body_treeid >= 0
        factors = drawn[model.body_treeid[moving]]
        edited.writable("body_mass")[moving] *= factors
        edited.writable("body_inertia")[moving] *= factors[:, None]
        edited.weigh_again()
        return {"least_factor": float(drawn.min()), "largest_factor": float(drawn.max())}
