"""A MuJoCo model that is written to, and can be set back to the bit."""

from operator import attrgetter
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dualsys.sim_envs.rendering import import_mujoco

_FROM_MASSES = (
    "body_subtreemass",
    "body_invweight0",
    "dof_M0",
    "dof_invweight0",
    "tendon_invweight0",
    "actuator_acc0",
)
"""What MuJoCo works out from masses when it compiles. Of what `mj_setConst` writes the rest is for the eye."""


@final
class EditedModel:
    """Hands out a model's arrays for writing, and remembers what stood there before.

    Args:
        model: The compiled `mujoco.MjModel`.
        cameras: Names of the policy's cameras.
    """

    def __init__(self, model: Any, cameras: tuple[str, ...]) -> None:
        self.model = model
        names = [model.camera(index).name for index in range(model.ncam)]
        self.camera_ids = [names.index(name) for name in cameras if name in names]
        """Those of the policy's cameras that the model has."""
        self._before: dict[str, NDArray[Any]] = {}

    def writable(self, field: str) -> NDArray[Any]:
        """The model's own array, such as `body_mass` or `vis.headlight.diffuse`."""
        array: NDArray[Any] = attrgetter(field)(self.model)
        if field not in self._before:
            self._before[field] = np.array(array)
        return array

    def before(self, field: str) -> NDArray[Any]:
        """What stood in an array before anything was written."""
        return self._before[field] if field in self._before else np.array(attrgetter(field)(self.model))

    @property
    def is_edited(self) -> bool:
        """Whether anything was asked for to be written to."""
        return bool(self._before)

    @property
    def moves_otherwise(self) -> bool:
        """Whether what was written changes physics, not only looks."""
        return any(field.startswith(("body_", "geom_friction", "pair_", "dof_")) for field in self._before)

    def weigh_again(self) -> None:
        """Bring up to date what MuJoCo works out from masses; call it after `body_mass` or `body_inertia` changed.

        On a copy: `mj_setConst` also measures the whole model anew, which would move the cameras' clipping planes.
        """
        mujoco = import_mujoco()
        copy = self.model.__copy__()
        mujoco.mj_setConst(copy, mujoco.MjData(copy))
        for field in _FROM_MASSES:
            self.writable(field)[:] = getattr(copy, field)

    def bring_up_to_date(self, data: Any) -> None:
        """After the last edit, before anything looks: cameras and lights, and forces where physics changed.

        Positions, velocities and the solver's warm start stay as they are to the bit.
        """
        if not self.is_edited:
            return
        mujoco = import_mujoco()
        if self.moves_otherwise:
            warm_start = np.array(data.qacc_warmstart)
            mujoco.mj_forward(self.model, data)
            data.qacc_warmstart[:] = warm_start
        else:
            mujoco.mj_camlight(self.model, data)

    def undo(self) -> None:
        """Write back what stood there before. Idempotent."""
        for field, array in self._before.items():
            attrgetter(field)(self.model)[...] = array
        self._before.clear()
