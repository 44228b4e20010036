"""A border of the workspace, as it is configured; `dualsys.sim_envs.clearance` measures the distance to it."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate, Coordinate]
"""`x y z` in metres."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class WorkspaceBox:
    """A box in the world that a point of the robot is to stay inside or outside of."""

    name: Annotated[str, Field(min_length=1)]
    """What logs and errors call it."""
    body: str
    """Body of the robot's model that the point is fixed to."""
    point_m: Point = (0.0, 0.0, 0.0)
    """In the body's frame."""
    lower_m: Point
    """Corner of the box, in the world's frame."""
    upper_m: Point
    """The opposite corner."""
    keep: Literal["inside", "outside"] = "inside"
    """Where the point is to stay."""

    @model_validator(mode="after")
    def _check_corners(self) -> Self:
        if not all(low < high for low, high in zip(self.lower_m, self.upper_m, strict=True)):
            raise ValueError(f"box {self.name!r}: each of lower_m {self.lower_m} must be below upper_m {self.upper_m}")
        return self
