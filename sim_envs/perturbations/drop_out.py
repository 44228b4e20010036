"""Sensors that fail for a while: cameras that stand still or go black, joints that tell nothing new."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.sim_envs.perturbations.draws import stream
from dualsys.sim_envs.perturbations.windows import windows_of

Share = Annotated[float, Field(ge=0, le=0.9)]
CameraFault = Literal["frozen", "black"]
_CAMERAS, _STATES, _FAULTS = 0, 10_000, 20_000
"""First channels of the streams."""


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DropOut:
    """Each camera and each component of the state fails for itself.

    A camera is frozen (its last picture is shown on, its stamp says how old it is) or black (its stamp says nothing) as
    often; a component of the state stays at what it last was. Pictures and commands that come late or never are the
    link's doing, not the sensor's: they belong to the timing of an evaluation.
    """

    kind: ClassVar[str] = "drop-out"
    cameras: Share = 0.0
    """Share of the time in which a camera fails."""
    states: Share = 0.0
    """Share of the time in which a component of the state does."""
    lasts_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    """How long at a time."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not (self.cameras or self.states)

    def camera_fault(self, camera: int, *, seed: int, step: int, dt_s: float) -> tuple[CameraFault, int] | None:
        """What is the matter with a camera at a step, and since which; None: nothing."""
        first = self._began(self.cameras, _CAMERAS + camera, seed, step, dt_s)
        if first is None:
            return None
        frozen = stream(seed, self.kind, _FAULTS + camera, first).random() < 0.5
        return ("frozen" if frozen else "black"), first

    def is_stuck(self, component: int, *, seed: int, step: int, dt_s: float) -> int | None:
        """Since which step a component of the state is stuck at a step; None: it isn't."""
        return self._began(self.states, _STATES + component, seed, step, dt_s)

    def _began(self, share: float, channel: int, seed: int, step: int, dt_s: float) -> int | None:
        if not share:
            return None
        windows = windows_of(share=share, lasts_s=self.lasts_s, dt_s=dt_s, seed=seed, kind=self.kind, channel=channel)
        return windows.began(step)
