"""A world that is more slippery, or less."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.sim_envs.perturbations.draws import factor
from dualsys.sim_envs.perturbations.edited_model import EditedModel


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Friction:
    """One factor for all contacts: sliding, torsional and rolling."""

    kind: ClassVar[str] = "friction"
    change_by: Annotated[float, Field(ge=0, le=99, allow_inf_nan=False)] = 0.0
    """Friction is multiplied by 1 / (1 + this) to 1 + this."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not self.change_by

    def change(self, edited: EditedModel, rng: np.random.Generator) -> dict[str, float]:
        """Draw, write, and tell what was drawn."""
        drawn = factor(rng, self.change_by)
        edited.writable("geom_friction")[:] *= drawn
        if edited.model.npair:
            edited.writable("pair_friction")[:] *= drawn
        return {"factor": drawn}
