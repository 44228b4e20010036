"""A moment of a simulation, whole, to go back to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.physics_state import load_physics, save_physics

_OF_MODEL = ("body_pos", "body_quat", "site_rgba")
"""What an episode changes of the model: where fixtures stand, whether a stove glows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """What `save` gives and `load` takes, of the same simulation only."""

    physics: FloatArray
    model: Mapping[str, FloatArray]
    controller: Mapping[str, FloatArray]
    """Its goal, and what it has read from the physics: it reads them anew only where `outdated`."""
    outdated: bool
    gripper: FloatArray
    """How far the fingers' actuator has been driven: each row of actions moves it on."""


def save(stock: Any) -> Moment:
    """The present moment of the benchmark's environment."""
    model, data, robot = stock.sim.model._model, stock.sim.data._data, stock.robots[0]
    numbers = {name: value.copy() for name, value in vars(robot.controller).items() if isinstance(value, np.ndarray)}
    return Moment(
        physics=save_physics(model, data),
        model={name: np.array(getattr(model, name)) for name in _OF_MODEL},
        controller=numbers,
        outdated=bool(robot.controller.new_update),
        gripper=np.array(robot.gripper.current_action),
    )


def load(stock: Any, moment: Moment) -> None:
    """Put a moment back."""
    model, data, robot = stock.sim.model._model, stock.sim.data._data, stock.robots[0]
    for name, values in moment.model.items():
        getattr(model, name)[:] = values
    load_physics(model, data, moment.physics)
    for name, values in moment.controller.items():
        setattr(robot.controller, name, np.array(values))
    robot.controller.new_update = moment.outdated
    robot.gripper.current_action = np.array(moment.gripper)
