"""Something bumps into the robot now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.messages import FloatArray
from dualsys.sim_envs.perturbations.draws import direction, stream
from dualsys.sim_envs.perturbations.windows import Windows


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pushes:
    """A force on one of the robot's bodies, in any direction, at its centre of mass."""

    kind: ClassVar[str] = "pushes"
    speed_m_s: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    """What a push would give the body and all that hangs on it, if nothing held them: drawn from half of this to it."""
    every_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    """One push in each such time, anywhere in it."""
    lasts_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """Rounded to whole control steps."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not self.speed_m_s

    def force_at(self, model: Any, *, seed: int, step: int, dt_s: float) -> tuple[int, FloatArray] | None:
        """The body that is pushed during a control step, and the force on it `(3,)` in newtons; None: none is."""
        lasts = max(1, round(self.lasts_s / dt_s))
        period = max(lasts, round(self.every_s / dt_s))
        first = Windows(seed=seed, kind=self.kind, channel=0, lasts=lasts, period=period).began(step)
        if first is None:
            return None
        rng = stream(seed, self.kind, 1, first)
        bodies = pushed_bodies(model)
        body = bodies[int(rng.integers(len(bodies)))]
        speed = self.speed_m_s * rng.uniform(0.5, 1.0)
        return body, direction(rng) * (model.body_subtreemass[body] * speed / (lasts * dt_s))


def pushed_bodies(model: Any) -> list[int]:
    """Those with joints, of all trees in which an actuator moves a joint; in a model without such, all with joints."""
    by_joint = np.isin(model.actuator_trntype, (0, 1))  # mjTRN_JOINT, mjTRN_JOINTINPARENT
    trees = {int(model.body_treeid[model.jnt_bodyid[joint]]) for joint in model.actuator_trnid[by_joint, 0]}
    jointed = [body for body in range(1, model.nbody) if model.body_jntnum[body]]
    return [body for body in jointed if int(model.body_treeid[body]) in trees] or jointed


@contextmanager
def pushed(data: Any, force: tuple[int, FloatArray] | None) -> Iterator[None]:
    """Have a force act in the block, beside those that the task itself applies."""
    if force is None:
        yield
        return
    body, newtons = force
    row = data.xfrc_applied[body]
    before = np.array(row)
    row[:3] += newtons
    during = np.array(row)
    yield
    if np.array_equal(row, during):  # a task that wrote its own in between has taken ours away itself
        row[:] = before
